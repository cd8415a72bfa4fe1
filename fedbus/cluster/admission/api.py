"""Admission over REST: NeuVector's statistics, options and log, and how the webhook stands."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec
from aiohttp import web

from fedbus.cluster.admission.decider import Admission
from fedbus.core.admission.policy import OFF
from fedbus.core.policy_rules.admission_criteria import CRITERIA, CUSTOM_OPERATORS, Offer, Operators
from fedbus.errors import Fault, InvalidInput
from fedbus.model.admission_events import ALLOWED, AdmissionEvent, AdmissionStats, RuleCount
from fedbus.model.decision import Mode
from fedbus.model.policy.scope import scope_of
from fedbus.runtime import rfc3339
from fedbus.store.database import Database
from fedbus.web import respond
from fedbus.web.openapi import Parameter, described

MAX_EVENTS = 1000
_PAGING = (
    Parameter("start", {"type": "integer", "minimum": 0}, "How many events to leave out first"),
    Parameter("limit", {"type": "integer", "minimum": 0}, "How many to answer, at most and by default 1000"),
)


class StatsAnswer(msgspec.Struct, frozen=True):
    """NeuVector's counts, and beside them what each rule did."""

    stats: AdmissionStats
    rules: list[RuleCount]


class WebhookAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How this cluster's webhook stands, and what its configuration in Kubernetes needs.

    `enable` and `mode` are in force now, `state_scope` says whose they are: empty, nobody's.
    `unusable` are rules that this build cannot ask, `blind` those that never match because nobody here knows
    the roles of service accounts: there is no inventory, or it may not read them.
    """

    url: str
    service: str
    namespace: str
    ca_bundle: str
    certificate_expires: str
    fail_open: bool
    enable: bool
    mode: Mode
    state_scope: Literal["fed", "local", ""]
    rules: int
    unusable: list[str]
    blind: list[str]
    policies_compiled: int
    error: str = ""


class Listening(msgspec.Struct, frozen=True, kw_only=True):
    """Where the webhook listens, and what whoever asks it must know."""

    url: str
    service: str
    ca_pem: str
    certificate_expires: float
    fail_open: bool


def routes(
    admission: Admission, database: Database, listening: Callable[[], Listening]
) -> list[web.RouteDef]:
    """Make the routes."""
    options = admission_options()

    @described("Show how many reviews were allowed and denied", answer=StatsAnswer, tag="admission")
    async def stats(_request: web.Request) -> web.Response:
        return respond.json(StatsAnswer(admission.recorder.stats, admission.recorder.rules()))

    @described("Show what admission rules can be made of", tag="admission")
    async def show_options(_request: web.Request) -> web.Response:
        return respond.json(options)

    @described("Show the admission events, the latest first", query=_PAGING, tag="admission")
    async def audit(request: web.Request) -> web.Response:
        start, limit = _number(request, "start", 0), _number(request, "limit", MAX_EVENTS)
        await admission.recorder.write()  # who asks sees what happened until now
        found = await database.read(lambda tx: tx.admission.events(start=start, limit=min(limit, MAX_EVENTS)))
        return respond.json({"audits": [_audit(event) for event in found]})

    @described("Show how the admission webhook stands", answer=WebhookAnswer, tag="admission")
    async def webhook(_request: web.Request) -> web.Response:
        policy, at = admission.policy, listening()
        service, namespace, _ = at.service.split(".", 2)
        return respond.json(
            WebhookAnswer(
                url=at.url,
                service=service,
                namespace=namespace,
                ca_bundle=at.ca_pem,
                certificate_expires=rfc3339(at.certificate_expires),
                fail_open=at.fail_open,
                enable=policy.state.enable,
                mode=policy.mode,
                state_scope="" if policy.state is OFF else scope_of(policy.state.cfg_type).name,
                rules=len(policy),
                blind=[f"{one.scope} rule {one.rule}" for one in admission.blind()],
                unusable=[f"{one.name.scope} rule {one.name.rule}: {one.reason}" for one in policy.unusable],
                policies_compiled=admission.built,
                error=admission.error.message if admission.error else "",
            )
        )

    return [
        web.get("/v1/admission/stats", stats),
        web.get("/v1/admission/options", show_options),
        web.get("/v1/admission/webhook", webhook),
        web.get("/v1/log/audit", audit),
    ]


def _audit(event: AdmissionEvent) -> dict[str, object]:
    """Return an event in NeuVector's words, and ours beside."""
    return {
        "id": event.id,
        "name": event.name,
        "level": "Info" if event.name == ALLOWED else "Warning",
        "reported_timestamp": int(event.last_at),
        "reported_at": rfc3339(event.last_at),
        "aggregation_from": int(event.first_at),
        "count": event.count,
        "workload_domain": event.namespace,
        "workload_name": event.workload,
        "workload_image": event.image,
        "user": event.user,
        "message": event.message,
        "kind": event.kind,
        "rule": event.rule,
        "rule_scope": event.rule_scope,
        "rule_type": event.rule_type,
        "mode": event.mode,
    }


def admission_options() -> dict[str, Any]:
    """Return NeuVector's admission options from the table of criteria."""
    return {
        "admission_options": {
            "deny_options": {"k8s_options": {"rule_options": _offers(lambda offer: offer.deny)}},
            "exception_options": {"k8s_options": {"rule_options": _offers(lambda offer: offer.allow)}},
            "admission_custom_criteria_options": [
                {"valuetype": kind, "ops": list(operators)} for kind, operators in CUSTOM_OPERATORS.items()
            ],
        }
    }


def _offers(operators: Callable[[Offer], Operators | None]) -> Mapping[str, object]:
    return {
        name: {
            "name": name,
            "ops": list(ops),
            "values": list(offer.values),
            "sub_options": {
                sub: {"name": sub, "ops": list(one.operators)} for sub, one in offer.subs.items()
            },
        }
        for name, offer in CRITERIA.items()
        if (ops := operators(offer)) is not None
    }


def _number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        message = f"{name} is a number of events, not {text[:64]!r}"
        raise InvalidInput(message, (Fault(name, message),))
    return int(text)
