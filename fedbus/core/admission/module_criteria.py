"""The criterion on the packages in an image, and on their versions as their package managers order them."""

import re
from collections.abc import Callable, Iterator, Sequence

import msgspec

from fedbus.core.admission.criterion import DEAR, Criterion, Unusable
from fedbus.core.admission.facts import ScanFacts, Subject
from fedbus.core.admission.patterns import NEGATIVE, Match, wildcard
from fedbus.core.package_versions import compare, ecosystem_of
from fedbus.core.policy_rules.checks import items
from fedbus.model.policy.admission import AdmissionCriterion
from fedbus.model.scan import Module

_ITEM = re.compile(r"([^<>=]+)(?:(<=|>=|<|>|=)([^<>=]+))?")
_ORDERS: dict[str, Callable[[int], bool]] = {
    "<": lambda order: order < 0,
    "<=": lambda order: order <= 0,
    ">": lambda order: order > 0,
    ">=": lambda order: order >= 0,
}


class _Item(msgspec.Struct, frozen=True):
    """One value of the list: a name, and what the version has to be (an operator, or a pattern)."""

    name: str
    op: str = ""
    version: str = ""
    equal: Match | None = None

    def fits(self, module: Module) -> bool:
        """Tell whether a module of this name has such a version; what is no version fits nothing."""
        if not self.op:
            return True
        if self.equal is not None:
            return self.equal(module.version)
        order = compare(ecosystem_of(module.ecosystem, module.source), module.version, self.version)
        return order is not None and _ORDERS[self.op](order)


def _read(text: str) -> _Item:
    found = _ITEM.fullmatch(text)
    if found is None:
        raise Unusable(f"modules must be name or name and version, not {text!r}")
    name, op, version = found[1].strip(), found[2] or "", (found[3] or "").strip()
    return _Item(name, op, version, wildcard(version) if op == "=" else None)


def modules(source: AdmissionCriterion) -> Criterion:
    """Return a criterion on the modules of the image."""
    wants = [_read(item) for item in items(source.value)]

    def hits(scan: ScanFacts, want: _Item) -> bool:
        found = scan.modules.get(want.name)
        return found is not None and any(map(want.fits, found))

    operators: dict[str, Callable[[ScanFacts], bool]] = {
        "containsAll": lambda scan: bool(scan.modules) and all(hits(scan, want) for want in wants),
        "containsAny": lambda scan: any(hits(scan, want) for want in wants),
        "notContainsAny": lambda scan: not any(hits(scan, want) for want in wants),
        "containsOtherThan": lambda scan: next(_others(scan, wants), None) is not None,
    }
    operator = operators.get(source.op)
    if operator is None:
        raise Unusable(f"modules has no operator {source.op!r}")

    def observed(subject: Subject) -> str:
        scan = subject.scan
        if scan is None:
            return "no scan"
        if source.op == "containsOtherThan":
            return _named(list(_others(scan, wants)))
        return _named([module for want in wants for module in scan.modules.get(want.name, ())])

    def holds(subject: Subject) -> bool | None:
        return None if subject.scan is None else operator(subject.scan)

    return Criterion(source, source.name, holds, observed, DEAR, source.op not in NEGATIVE)


def _others(scan: ScanFacts, wants: Sequence[_Item]) -> Iterator[Module]:
    by_name: dict[str, list[_Item]] = {}
    for want in wants:
        by_name.setdefault(want.name, []).append(want)
    for name, found in scan.modules.items():
        for module in found:
            if not any(want.fits(module) for want in by_name.get(name, ())):
                yield module


def _named(found: Sequence[Module]) -> str:
    texts = list(dict.fromkeys(f"{module.name} {module.version}".strip() for module in found))
    more = f" and {len(texts) - 5} more" if len(texts) > 5 else ""
    return ", ".join(texts[:5]) + more if texts else "none of them"
