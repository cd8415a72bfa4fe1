"""How the writes of policy are described in OpenAPI: the types of their bodies and answers."""

from collections.abc import Callable
from functools import cache
from typing import Any, Literal, TypeVar

import msgspec

from fedbus.core.writes import Committed, Preview
from fedbus.model import wire
from fedbus.model.policy import KINDS
from fedbus.model.policy.vulnerability import VulnerabilityEntry
from fedbus.web.openapi import Parameter, described, many
from fedbus.web.policy_reads import FED, LOCAL

F = TypeVar("F", bound=Callable[..., Any])

SCOPE = Parameter(
    "scope",
    {"type": "string", "enum": [FED, LOCAL]},
    "Whose policy is meant; without it what names, ids and cfg_type say, else the cluster's own",
)
_COMMENT = Parameter("comment", {"type": "string"}, "Why; kept with the change")
DRY_RUN = Parameter("dry_run", {"type": "string", "enum": ["true", "false"]}, "Say what would change only")
_SENSORS = ("dlp_sensor", "waf_sensor")


class PolicyDocument(msgspec.Struct):
    """One document of a change; `spec` is an object of the kind, or names the one to delete."""

    kind: str
    spec: dict[str, object]
    op: Literal["apply", "delete"] = "apply"
    revision: int | None = None
    target: dict[str, object] | None = None


class DocumentsBody(msgspec.Struct):
    """Many documents, one change; or a stream of them as YAML."""

    documents: list[PolicyDocument]
    comment: str = ""


class DryRun(msgspec.Struct, frozen=True):
    """What a request would change; nothing was changed."""

    dry_run: bool
    changes: list[Preview]


def writes(summary: str, kind: str, *, body: Any = None, answer: Any = Committed) -> Callable[[F], F]:
    """Describe a handler that writes a kind."""
    return described(
        summary,
        body=body,
        answer=(answer, DryRun),
        query=(SCOPE, _COMMENT, DRY_RUN),
        headers=("If-Match", "Idempotency-Key"),
        tag=kind,
    )


@cache
def whole(kind: str) -> type[msgspec.Struct]:
    """Return the body that makes an object of a kind."""
    if kind in _SENSORS:
        return changes(kind)
    return _wrapped(f"{_called(kind)}Envelope", config=KINDS[kind].type)


@cache
def changes(kind: str) -> type[msgspec.Struct]:
    """Return the body that changes an object of a kind."""
    config = wire.CONFIGS[kind]
    match kind:
        case "process_profile":
            return _wrapped("ProcessProfileEnvelope", process_profile_config=config)
        case "admission_state":
            return _wrapped("AdmissionStateEnvelope", state=config)
        case _ if kind in (*_SENSORS, "dlp_group", "waf_group"):
            return _shared(config)
    return _wrapped(f"{config.__name__}Envelope", config=config)


@cache
def _shared(config: type[msgspec.Struct]) -> type[msgspec.Struct]:
    return _wrapped(f"{config.__name__}Envelope", config=config)


SYSTEM_CONFIG = msgspec.defstruct(
    "SystemConfigEnvelope",
    [("fed_config", wire.FedSystemConfig | None, None), ("config", wire.FedSystemConfig | None, None)],
)
ENTRY = msgspec.defstruct("VulnerabilityEntryEnvelope", [("config", VulnerabilityEntry)])
ENTRY_ADDED = msgspec.defstruct(
    "VulnerabilityEntryAdded", [("config", VulnerabilityEntry)], bases=(Committed,), kw_only=True
)
RULE_ADDED = msgspec.defstruct(
    "AdmissionRuleAdded", [("rule", KINDS["admission_rule"].type)], bases=(Committed,), kw_only=True
)


@cache
def actions(kind: str) -> type[msgspec.Struct]:
    """Return the body that changes a list of rules."""
    name = _called(kind)
    new: list[tuple[str, Any] | tuple[str, Any, None]] = [
        ("rules", many(KINDS[kind].type)),
        ("after", int | None, None),
    ]
    insert = msgspec.defstruct(f"{name}Insert", new)
    fields: list[tuple[str, Any, None]] = [
        ("move", wire.RuleMove | None, None),
        ("insert", insert | None, None),
        ("rules", many(wire.CONFIGS[kind]) | None, None),
        ("delete", list[int] | None, None),
    ]
    return msgspec.defstruct(f"{name}Actions", fields)


def _wrapped(name: str, **fields: Any) -> type[msgspec.Struct]:
    return msgspec.defstruct(name, list(fields.items()))


def _called(kind: str) -> str:
    return KINDS[kind].type.__name__
