"""A diagnosis: what each step found, the first one that failed, and the exit code for it."""

from typing import Literal

import msgspec

from fedbus.core.connectivity import TABLE, Step, remedy_of
from fedbus.errors import FedbusError

MAX_SKEW = 30.0
"""Seconds two clocks may differ before it is a finding; tokens and credentials live far longer."""
BUS_MINIMUM = (2, 12)
"""The first nats-server with atomic batches, which every changeset is."""


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one step found."""

    step: str
    result: Literal["ok", "warning", "failed", "not tested"]
    detail: str = ""
    code: str = ""
    remedy: str = ""
    exit_code: int = 0


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """All findings in order; `failed` names the first step that did not work."""

    role: str
    target: str
    findings: list[Finding]
    failed: str = ""
    code: str = ""
    remedy: str = ""
    exit_code: int = 0


def ok(step: Step, detail: str = "") -> Finding:
    """Return the finding of a step that works."""
    return Finding(step=step.title, result="ok", detail=detail)


def warned(step: Step, detail: str, failure: FedbusError) -> Finding:
    """Return the finding of a step that works, although something is wrong; it is no failure."""
    return Finding(
        step=step.title, result="warning", detail=detail, code=failure.code, remedy=remedy_of(failure)
    )


def failed(step: Step, failure: FedbusError) -> Finding:
    """Return the finding of a step that does not; the class of the code decides about the exit code."""
    cause = TABLE.get(failure.code)
    return Finding(
        step=step.title,
        result="failed",
        detail=failure.message,
        code=failure.code,
        remedy=remedy_of(failure),
        exit_code=int(cause.step if cause else step),
    )


def not_tested(step: Step, why: str) -> Finding:
    """Return the finding of a step that a failure before it hides."""
    return Finding(step=step.title, result="not tested", detail=why)


def conclude(role: str, target: str, findings: list[Finding]) -> Diagnosis:
    """Name the first failure."""
    first = next((f for f in findings if f.result == "failed"), None)
    if first is None:
        return Diagnosis(role=role, target=target, findings=findings)
    return Diagnosis(
        role=role,
        target=target,
        findings=findings,
        failed=first.step,
        code=first.code,
        remedy=first.remedy,
        exit_code=first.exit_code,
    )


def skewed(seconds: float, limit: float = MAX_SKEW) -> bool:
    """Tell whether two clocks differ by more than they may."""
    return abs(seconds) > limit


def bus_supported(version: str) -> bool:
    """Tell whether a nats-server of this version can serve a federation; an odd version is let pass."""
    parts = version.removeprefix("v").split(".")
    if len(parts) < 2 or not (parts[0].isdecimal() and parts[1].isdecimal()):
        return True
    return (int(parts[0]), int(parts[1])) >= BUS_MINIMUM
