"""Custom criteria: any path of the resource under review.

A path such as `item.spec.containers.0.image` starts at the pod; what only the resource around it has
(`item.spec.replicas`) is looked for there. A number stands for every item of a list. Known sidecars are
left out, as everywhere.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fedbus.core.admission.criterion import FAIR, Criterion, Unusable, comparison, number_of
from fedbus.core.admission.facts import Subject
from fedbus.core.admission.patterns import SET_OPERATORS, Patterns
from fedbus.core.image_reference import image_reference
from fedbus.core.policy_rules.checks import items
from fedbus.core.workload import is_sidecar
from fedbus.errors import InvalidInput
from fedbus.model.policy.admission import AdmissionCriterion

ROOT = "item."
_CONTAINERS = frozenset({"containers", "initContainers", "ephemeralContainers"})

Judge = Callable[[Any], bool]


def custom_path(source: AdmissionCriterion) -> Criterion:
    """Return a criterion on a path."""
    steps = tuple(source.path.removeprefix(ROOT).replace("[_]", ".0").split("."))
    if not source.path.startswith(ROOT) or not all(steps):
        raise Unusable(f"customPath must start with {ROOT!r}, not {source.path!r}")
    holds = _holds(source, steps)

    def observed(subject: Subject) -> str:
        values, _ = _walk(_start(subject, steps), steps)
        shown = ", ".join(str(value)[:80] for value in values[:5]) or "not there"
        return f"{source.path}: {shown}"

    return Criterion(source, f"customPath {source.path} {source.op} {source.value}", holds, observed, FAIR)


def _holds(source: AdmissionCriterion, steps: Sequence[str]) -> Callable[[Subject], bool]:
    if source.op == "exist":
        return lambda subject: bool(_walk(_start(subject, steps), steps)[0])
    if source.op == "notExist":
        return lambda subject: _walk(_start(subject, steps), steps)[1]
    judge = _judge(source)
    return lambda subject: any(judge(value) for value in _walk(_start(subject, steps), steps)[0])


def _judge(source: AdmissionCriterion) -> Judge:
    """Return what one value at the path has to fulfil."""
    if source.value_type == "string":
        operator = SET_OPERATORS.get(source.op)
        if operator is None:
            raise Unusable(f"customPath has no operator {source.op!r} for texts")
        patterns = Patterns(items(source.value))
        return lambda value: operator(patterns, _texts(value))
    if source.value_type == "number":
        compare, limit = comparison("customPath", source.op), number_of("customPath", source.value)
        return lambda value: _is_number(value) and compare(value, limit)
    if source.value_type == "boolean" and source.op == "=" and source.value in ("true", "false"):
        asked = source.value == "true"
        return lambda value: value is asked
    raise Unusable(f"customPath cannot compare {source.value_type or 'a value'} by {source.op!r}")


def _texts(value: Any) -> list[str]:
    found = value if isinstance(value, list | tuple) else [value]
    return [one for one in found if isinstance(one, str)]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _start(subject: Subject, steps: Sequence[str]) -> Any:
    """Return where the path begins: the pod, unless only the resource has what the path names first."""
    document: Any = subject.workload.document
    pod = document
    for name in subject.workload.pod_path:
        pod = pod.get(name) if isinstance(pod, Mapping) else None
    first = steps[:2]
    if pod is not document and not _walk(pod, first)[0] and _walk(document, first)[0]:
        return document
    return pod


def _walk(start: Any, steps: Sequence[str]) -> tuple[list[Any], bool]:
    """Return every value at the end of a path, and whether any way there ends before."""
    values, missing = [start], False
    previous = ""
    for step in steps:
        reached: list[Any] = []
        for value in values:
            found = _step(value, step, previous)
            missing = missing or not found
            reached += found
        values, previous = reached, step
    return values, missing


def _step(value: Any, step: str, previous: str) -> list[Any]:
    if step.isdecimal() and isinstance(value, list | tuple):
        return [one for one in value if previous not in _CONTAINERS or not _sidecar(one)]
    if isinstance(value, Mapping) and value.get(step) is not None:
        return [value[step]]
    return []


def _sidecar(container: Any) -> bool:
    image = container.get("image") if isinstance(container, Mapping) else None
    try:
        return isinstance(image, str) and is_sidecar(image_reference(image))
    except InvalidInput:
        return False
