"""Whatever a body holds, a decision is an error with the field's name, or edits that are valid."""

import contextlib
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.core import policy_rules
from fedbus.core.policy_edits import Decision, objects, planned, rules, vulnerabilities
from fedbus.core.policy_input import parse
from fedbus.core.references import Key
from fedbus.errors import FedbusError
from fedbus.model.policy import FED, KINDS, Policy
from fedbus.model.targets import ALL, Target
from fedbus.model.wire import RuleActions
from tests.support.malformed import BODIES, damaged, values


def _held() -> list[tuple[str, dict[str, Any]]]:
    ends = {"from": "fed.web", "to": "external", "action": "deny"}
    return [
        ("group", {"name": "fed.web", "criteria": [{"key": "image", "value": "x"}]}),
        ("webhook", {"name": "fed.hook", "url": "https://h/"}),
        ("waf_sensor", {"name": "fed.sensor"}),
        ("network_rule", {"id": 100_001, "rank": "V"} | ends),
        ("network_rule", {"id": 100_002, "rank": "W"} | ends),
        ("admission_rule", {"id": 100_001, "rank": "V", "rule_type": "deny"}),
    ]


HELD: dict[Key, Policy] = {
    (kind, KINDS[kind].key(obj)): obj for kind, obj in ((kind, parse(kind, spec)) for kind, spec in _held())
}


class Held:
    """What is there before each body."""

    scope = FED

    def get(self, key: Key) -> Policy | None:
        return HELD.get(key)

    def target(self, key: Key) -> Target:
        return ALL

    def all_keys(self) -> list[Key]:
        return list(HELD)

    def names(self, kind: str) -> list[str]:
        return [name for held, name in HELD if held == kind]

    def ranks(self, kind: str) -> list[str]:
        return list(self.ranked(kind).values())

    def ranked(self, kind: str) -> dict[int, str]:
        return {getattr(o, "id"): getattr(o, "rank") for (held, _), o in HELD.items() if held == kind}  # noqa: B009


def _act(kind: str) -> Callable[[Any], Decision]:
    return lambda body: rules.act(kind, msgspec.convert(body, RuleActions))


def _create(kind: str) -> Callable[[Any], Decision]:
    return lambda body: objects.create(kind, _dict(body, "config"))[1]


def _change(kind: str, name: str, key: str = "config") -> Callable[[Any], Decision]:
    return lambda body: objects.change(kind, name, _dict(body, key), key)


def _dict(body: Any, key: str) -> dict[str, object]:
    return msgspec.convert(body, dict[str, dict[str, Any]])[key]


DECISIONS: dict[str, Callable[[Any], Decision]] = {
    "group": _create("group"),
    "group change": _change("group", "fed.web"),
    "network insert": _act("network_rule"),
    "network move": _act("network_rule"),
    "network replace": _act("network_rule"),
    "admission": _create("admission_rule"),
    "admission change": _change("admission_rule", "100001"),
    "admission state": _change("admission_state", "default", "state"),
    "response": _act("response_rule"),
    "process profile": _change("process_profile", "fed.web", "process_profile_config"),
    "file monitor": _change("file_profile", "fed.web"),
    "dlp sensor": _create("dlp_sensor"),
    "waf sensor change": _change("waf_sensor", "fed.sensor"),
    "waf binding": _change("waf_group", "fed.web"),
    "webhook": _create("webhook"),
    "webhooks": lambda body: objects.replace_webhooks(_dict(body, "fed_config")),
    "vulnerabilities": _change("vulnerability_profile", "default"),
    "vulnerability": lambda body: vulnerabilities.add("default", _dict(body, "config"))[1],
    "registry": _create("registry"),
}


def test_every_good_body_would_be_tried() -> None:
    assert DECISIONS.keys() == BODIES.keys() - {"network change"}


@pytest.mark.parametrize("what", DECISIONS)
@given(st.data())
def test_a_damaged_body_is_an_error_or_a_valid_change(what: str, data: st.DataObject) -> None:
    body = data.draw(damaged(BODIES[what][2]) | values)
    # The envelope is judged by the handler; what is not there, or is there already, is no fault of the body.
    with contextlib.suppress(FedbusError, msgspec.ValidationError, KeyError):
        for step in planned(Held(), DECISIONS[what](body)):
            assert step.obj is None or not policy_rules.faults(step.obj)
            assert step.obj is None or KINDS[step.kind].key(step.obj) == step.name
