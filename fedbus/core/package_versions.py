"""Comparing versions of packages the way their package managers do."""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from univers import versions
from univers.nuget import InvalidNuGetVersion
from univers.versions import InvalidVersion, Version

from fedbus.core.ecosystems import ECOSYSTEMS

_LONGEST = 256
"""The longest version that is compared, in characters (ours): it bounds the time."""

_ECOSYSTEMS: Mapping[str, type[Version]] = MappingProxyType(
    {
        "deb": versions.DebianVersion,
        "apk": versions.AlpineLinuxVersion,
        "alpine": versions.AlpineLinuxVersion,
        "rpm": versions.RpmVersion,
        "npm": versions.SemverVersion,
        "pypi": versions.PypiVersion,
        "maven": versions.MavenVersion,
        "golang": versions.GolangVersion,
        "gem": versions.RubygemsVersion,
        "nuget": versions.NugetVersion,
        "composer": versions.ComposerVersion,
        "cargo": versions.SemverVersion,
    }
)
"""The rules of comparison by the type of a package URL."""

_GENERIC = versions.DebianVersion
"""For anything else: digits by value, letters by the alphabet, `~` before everything."""


@lru_cache(maxsize=1024)
def ecosystem_of(ecosystem: str, source: str) -> str:
    """Return the type of package, by itself or by the module's source such as `alpine:3.17.0`."""
    if ecosystem.lower() in _ECOSYSTEMS:
        return ecosystem.lower()
    return ECOSYSTEMS.get(source.lower().partition(":")[0], "")


@lru_cache(maxsize=8192)
def compare(ecosystem: str, one: str, other: str) -> int | None:
    """Return -1, 0 or 1 as `one` is older than, equal to or newer than `other`; None for no version."""
    first, second = _version(ecosystem, one), _version(ecosystem, other)
    if first is None or second is None:
        return None
    try:
        return int(first > second) - int(first < second)
    except TypeError:  # a few strange texts are read as versions and then fit nothing
        return None


@lru_cache(maxsize=8192)
def _version(ecosystem: str, text: str) -> Version | None:
    if not text or len(text) > _LONGEST:
        return None
    if ecosystem == "golang":
        text = text.removeprefix("go")
    elif ecosystem == "composer":
        text = text.lower()  # its stability flags have no case: RC is rc
    try:
        return _ECOSYSTEMS.get(ecosystem, _GENERIC)(text)
    except (InvalidVersion, InvalidNuGetVersion, ValueError, TypeError):
        return None
