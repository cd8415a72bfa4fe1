"""Reports of scanners, whatever their format, as our own.

`read` takes the bytes of one file. What cannot be read is rejected with where and why, and the other
reports of the file are still there; a report is never half there.
"""

from collections.abc import Callable, Iterator

import msgspec

from fedbus.core.scan.finish import check_limits, finish
from fedbus.core.scan.identity import Given
from fedbus.core.scan.vex import Statements
from fedbus.errors import Fault, InvalidInput, TooLarge
from fedbus.model.scan import Report
from fedbus.scan.importers import cyclonedx, grype, neuvector, sarif, trivy, trivy_kubernetes
from fedbus.scan.importers.detection import Format, detect
from fedbus.scan.importers.reading import MAX_BYTES, Part

MAX_REPORTS = 2_000
"""Reports of one file."""

Parts = Callable[[bytes], Iterator[Part]]

_PARTS: dict[Format, Parts] = {
    Format.NEUVECTOR: neuvector.parts,
    Format.TRIVY: trivy.parts,
    Format.TRIVY_LEGACY: trivy.legacy_parts,
    Format.TRIVY_KUBERNETES: trivy_kubernetes.parts,
    Format.GRYPE: grype.parts,
    Format.CYCLONEDX: cyclonedx.parts,
    Format.SARIF: sarif.parts,
}


_NOTHING = Given()


class Rejected(msgspec.Struct, frozen=True):
    """A report that cannot be read: its JSON path, why, and a stable word for it."""

    path: str
    message: str
    code: str = "INVALID_INPUT"
    remedy: str = ""


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What a file gave."""

    format: Format
    reports: tuple[Report, ...] = ()
    rejected: tuple[Rejected, ...] = ()


def read(
    raw: bytes,
    *,
    received: float,
    given: Given = _NOTHING,
    form: Format | None = None,
    statements: Statements | None = None,
) -> Imported:
    """Read a file; `received` is when we got it, Unix seconds, `given` what is said beside it.

    Raises InvalidInput when nothing of it can be read, TooLarge.
    """
    if len(raw) > MAX_BYTES:
        raise TooLarge(f"The file has more than {MAX_BYTES >> 20} MiB", remedy="Split it")
    form = form or detect(raw)
    reports: dict[tuple[str, str, str], Report] = {}
    rejected: list[Rejected] = []
    for number, part in enumerate(_parts(raw, form, given)):
        if number == MAX_REPORTS:
            rejected.append(Rejected(part.path, f"more than {MAX_REPORTS} reports in one file"))
            break
        try:
            made = finish(part.make(), given, received)
        except InvalidInput as error:
            rejected += _rejections(part, error)
        else:
            reports[made.repository, made.tag, made.digest] = (
                statements.annotate(made) if statements else made
            )
    return Imported(format=form, reports=tuple(reports.values()), rejected=tuple(rejected))


def scanned(raw: bytes) -> list[Report]:
    """Read the output of a scanner that we ran; which image it is about is set by who ran it.

    Raises InvalidInput when a report of it cannot be read.
    """
    made = [part.make() for part in _parts(raw, detect(raw), Given())]
    for report in made:
        check_limits(report)
    return made


def _parts(raw: bytes, form: Format, given: Given) -> Iterator[Part]:
    if form is Format.NEUVECTOR_RESULT:
        return neuvector.result_parts(raw, given)
    return _PARTS[form](raw)


def _rejections(part: Part, error: InvalidInput) -> list[Rejected]:
    faults = error.faults or (Fault("", error.message),)
    return [
        Rejected(_below(part.path, fault.field), fault.message, error.code, error.remedy) for fault in faults
    ]


def _below(path: str, field: str) -> str:
    """Return the place of a fault: JSON paths are of the whole file already, names are of the report."""
    if field.startswith("$"):
        return field
    return f"{path}.{field}" if field else path


__all__ = ["MAX_BYTES", "Format", "Given", "Imported", "Rejected", "read", "scanned"]
