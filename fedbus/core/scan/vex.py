"""Statements of OpenVEX over a report: they annotate its vulnerabilities and take nothing away."""

from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import unquote

import msgspec

from fedbus.core.scan.identity import is_digest, reference
from fedbus.core.scan.packages import purl
from fedbus.model.scan import Report, Vex, Vulnerability

Key = tuple[str, ...]
ANY: Key = ()


class Statement(msgspec.Struct, frozen=True, gc=False):
    """What one statement says of one product: an image, a package, or a package in an image.

    `names` are the vulnerability's, `at` is Unix seconds with their fraction.
    """

    names: tuple[str, ...]
    product: str
    part: str
    vex: Vex
    at: float


class Statements:
    """Statements by what they are about; of several on one product and vulnerability the latest counts."""

    def __init__(self, given: Iterable[Statement]) -> None:
        self._latest: dict[tuple[str, Key, Key], Statement] = {}
        for statement in given:
            self._take(statement)

    def _take(self, statement: Statement) -> None:
        image, packages = _image_key(statement.product), _package_keys(statement.product)
        if packages:
            image = ANY
        elif statement.part:
            packages = _package_keys(statement.part)
            if not packages:
                return  # it is about a part that no package URL names, not about all of the image
        for name in statement.names:
            for package in packages or [ANY]:
                key = (name.upper(), image, package)
                held = self._latest.get(key)
                if held is None or statement.at >= held.at:
                    self._latest[key] = statement

    def annotate(self, report: Report) -> Report:
        """Return the report with what the statements say of its vulnerabilities, the latest first."""
        if not self._latest:
            return report
        images = [ANY, *_image_keys(report)]
        ecosystems = {(module.name, module.version): module.ecosystem for module in report.modules}
        return msgspec.structs.replace(
            report,
            vulnerabilities=tuple(self._annotated(one, images, ecosystems) for one in report.vulnerabilities),
        )

    def _annotated(
        self, found: Vulnerability, images: Sequence[Key], ecosystems: dict[tuple[str, str], str]
    ) -> Vulnerability:
        ecosystem = ecosystems.get((found.package_name, found.package_version), "")
        packages = [
            ANY,
            (ecosystem, found.package_name, found.package_version),
            (ecosystem, found.package_name, ""),
        ]
        said = dict.fromkeys(self._about(found, images, packages))
        if not said:
            return found
        latest = [one.vex for one in sorted(said, key=lambda one: -one.at)]
        return msgspec.structs.replace(found, vex=(*latest, *(one for one in found.vex if one not in latest)))

    def _about(
        self, found: Vulnerability, images: Sequence[Key], packages: Sequence[Key]
    ) -> Iterator[Statement]:
        for name in (found.name.upper(), *found.cves):
            for image in images:
                for package in packages:
                    if (image or package) and (said := self._latest.get((name, image, package))):
                        yield said


def _package_keys(text: str) -> list[Key]:
    """Return how a package URL is looked up: with its ecosystem, and without where none is known."""
    found = purl(text)
    if found is None or found.type in ("oci", "docker"):
        return []
    return [(kind, name, found.version) for kind in (found.type, "") for name in found.names]


def _image_key(text: str) -> Key:
    found = purl(text)
    if found is None:
        named = reference(text)
        return ("digest", named.digest) if named.digest else ("repository", named.repository, named.tag)
    if is_digest(found.version):
        return ("digest", found.version)
    options = dict(one.partition("=")[::2] for one in found.qualifiers.split("&"))
    where = reference(unquote(options.get("repository_url", "")))
    return ("repository", where.repository or found.name, options.get("tag", "") or found.version)


def _image_keys(report: Report) -> list[Key]:
    digests = [("digest", one) for one in (report.digest, report.image_id) if one]
    names = dict.fromkeys((report.repository, report.repository.rpartition("/")[2]))
    tags = dict.fromkeys((report.tag, ""))
    return [*digests, *(("repository", name, tag) for name in names if name for tag in tags)]
