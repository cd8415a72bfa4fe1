"""From manifests to what admission would do with them, resource by resource, with every rule's reason."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from fedbus.core.admission import messages
from fedbus.core.admission.policy import Policy, Reports
from fedbus.core.workload import CLAIM, POD_PATHS, is_too_big, workload_of
from fedbus.errors import InvalidInput, TooLarge
from fedbus.model.assessment import Assessed, MatchedRule, Reason, Rejected
from fedbus.model.decision import Decision, RuleResult
from fedbus.model.review import Workload

MAX_RESOURCES: Final = 1_000
"""Resources of one request: each is held against every rule."""
_MAX_NESTED = 8


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A document as it was sent: its place, its first line where it was text, and what it says."""

    index: int
    line: int | None = None
    value: Mapping[str, Any]


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """One resource to assess; `workload` is None for kinds that admission never looks at."""

    index: int
    kind: str
    name: str
    namespace: str
    workload: Workload | None


def resources(manifests: Iterable[Manifest]) -> tuple[list[Resource], list[Rejected]]:
    """Return the resources of all documents, those of lists one by one, and what cannot be read.

    Raises TooLarge for more than MAX_RESOURCES.
    """
    found: list[Resource] = []
    rejected: list[Rejected] = []
    for manifest in manifests:
        for value, path in _flattened(manifest.value, ""):
            try:
                found.append(_resource(manifest, value))
            except InvalidInput as error:
                rejected.append(_rejected(manifest, value, path, error))
            if len(found) + len(rejected) > MAX_RESOURCES:
                raise TooLarge(
                    f"one request may have {MAX_RESOURCES} resources", remedy="send them in several requests"
                )
    return found, rejected


def _flattened(value: object, path: str, depth: int = 0) -> Iterator[tuple[object, str]]:
    """Yield the resources of a document with their paths in it."""
    kind = value.get("kind") if isinstance(value, Mapping) else None
    items = value.get("items") if isinstance(value, Mapping) else None
    if not (isinstance(kind, str) and kind.endswith("List") and isinstance(items, list | tuple)):
        yield value, path
    elif depth >= _MAX_NESTED:
        yield None, path  # rejected: a bomb of lists
    else:
        # What an API lists does not say its kind, what kubectl lists does.
        of = {"kind": kind.removesuffix("List")} if kind != "List" else {}
        for number, item in enumerate(items):
            each = of | dict(item) if isinstance(item, Mapping) else item
            yield from _flattened(each, f"{path}.items[{number}]".removeprefix("."), depth + 1)


def _resource(manifest: Manifest, value: object) -> Resource:
    if not isinstance(value, Mapping):
        raise InvalidInput("this is no Kubernetes object, or in too many lists", code="MANIFEST_INVALID")
    kind = value.get("kind")
    if not isinstance(kind, str) or not kind:
        raise InvalidInput("kind must be a text that says what this is", code="MANIFEST_INVALID")
    if kind in POD_PATHS or kind == CLAIM:
        workload = workload_of(value)
        return Resource(
            index=manifest.index,
            kind=kind,
            name=workload.name,
            namespace=workload.namespace,
            workload=workload,
        )
    name, namespace = _named(value)
    return Resource(index=manifest.index, kind=kind, name=name, namespace=namespace, workload=None)


def _named(value: object) -> tuple[str, str]:
    """Return the name and the namespace of an object that may be anything."""
    about = value.get("metadata") if isinstance(value, Mapping) else None
    if not isinstance(about, Mapping):
        return "", ""
    name, namespace = about.get("name"), about.get("namespace")
    return name if isinstance(name, str) else "", namespace if isinstance(namespace, str) else ""


def _rejected(manifest: Manifest, value: object, path: str, error: InvalidInput) -> Rejected:
    kind = value.get("kind") if isinstance(value, Mapping) else ""
    field = error.faults[0].field if error.faults else ""
    return Rejected(
        index=manifest.index,
        line=manifest.line,
        kind=kind[:100] if isinstance(kind, str) else "",
        name=_named(value)[0],
        field=f"{path}.{field}".strip("."),
        code=error.code,
        message=error.message,
    )


def passed_over(resource: Resource) -> Assessed:
    """Return what becomes of a resource that admission never looks at."""
    return Assessed(
        index=resource.index,
        kind=resource.kind,
        name=resource.name,
        namespace=resource.namespace,
        allowed=True,
        judged=False,
        message=f"admission does not look at the kind {resource.kind[:100]}",
    )


def assessed(
    resource: Resource, workload: Workload, policy: Policy, reports: Reports, now: float
) -> Assessed:
    """Return what a policy says of a workload at a time (Unix seconds), whether or not it is in force."""
    decision = policy.judge(workload, reports, now)
    deciding = _deciding(decision)
    looked = [] if is_too_big(workload) else policy.assess(workload, reports, now)
    results = [one for one in looked if one.truth != "unmet"]
    return Assessed(
        index=resource.index,
        kind=resource.kind,
        name=resource.name,
        namespace=workload.namespace,
        allowed=decision.allowed,
        message=decision.message or "; ".join(decision.warnings),
        matched_rules=[_matched(one, Reason.of(one) in deciding) for one in results],
    )


def _deciding(decision: Decision) -> set[Reason]:
    return {Reason.of(one.decided_by) for one in decision.containers if one.decided_by is not None}


def _matched(result: RuleResult, decides: bool) -> MatchedRule:
    return MatchedRule(
        container_image=result.image,
        container=result.container,
        id=result.rule,
        disabled=result.disabled,
        type=result.rule_type,
        mode="" if result.rule_type == "exception" else result.mode,
        rule_details=messages.reason(result),
        rule_cfg_type="federal" if result.scope == "fed" else "user_created",
        unknown=result.truth == "unknown",
        decides=decides and not result.disabled,
    )
