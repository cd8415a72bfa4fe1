"""Ecosystems of packages: the types of package URLs, by the words that scanners use for them."""

from collections.abc import Mapping
from types import MappingProxyType

ECOSYSTEMS: Mapping[str, str] = MappingProxyType({
    "alpine": "apk", "apk": "apk", "wolfi": "apk", "chainguard": "apk",
    "deb": "deb", "debian": "deb", "ubuntu": "deb",
    "rpm": "rpm", "redhat": "rpm", "centos": "rpm", "rocky": "rpm", "alma": "rpm", "fedora": "rpm",
    "amazon": "rpm", "oracle": "rpm", "photon": "rpm", "suse": "rpm", "azurelinux": "rpm",
    "cbl-mariner": "rpm",
    "opensuse": "rpm", "opensuse-leap": "rpm", "opensuse-tumbleweed": "rpm", "opensuse.leap": "rpm",
    "npm": "npm", "yarn": "npm", "pnpm": "npm", "node-pkg": "npm", "javascript": "npm", "bun": "npm",
    "python": "pypi", "pip": "pypi", "pipenv": "pypi", "poetry": "pypi", "uv": "pypi", "python-pkg": "pypi",
    "go": "golang", "gomod": "golang", "gobinary": "golang", "go-module": "golang",
    "java": "maven", "jar": "maven", "pom": "maven", "gradle": "maven", "sbt": "maven",
    "java-archive": "maven",
    "ruby": "gem", "gem": "gem", "bundler": "gem", "gemspec": "gem",
    "rust": "cargo", "cargo": "cargo", "rustbinary": "cargo", "rust-crate": "cargo",
    "php": "composer", "composer": "composer", "composer-vendor": "composer", "php-composer": "composer",
    "dotnet": "nuget", "nuget": "nuget", "dotnet-core": "nuget", "packages-props": "nuget",
    "conda": "conda", "conda-pkg": "conda", "conan": "conan", "hex": "hex", "pub": "pub", "swift": "swift",
    "cocoapods": "cocoapods", "kubernetes": "k8s", "bitnami": "bitnami", "julia": "julia",
    "rhel": "rpm", "almalinux": "rpm", "ol": "rpm", "amzn": "rpm", "sles": "rpm", "mariner": "rpm",
    "node.js": "npm", "node": "npm", "nodejs": "npm", ".net": "nuget",
})  # fmt: skip
"""The type of package by what scanners call a distribution, language or package manager, in small letters."""
