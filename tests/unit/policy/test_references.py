"""What needs what: nothing dangles, what is in use stays, what hangs on a group goes with it."""

import pytest

from fedbus.core.policy_input import parse
from fedbus.core.references import Key, cascade, dangling, in_use, references
from fedbus.model.policy import KINDS, Policy, kind_of

GROUP: dict[str, object] = {"name": "fed.web", "criteria": [{"key": "image", "value": "nginx"}]}
ADDRESSES: dict[str, object] = {"name": "fed.web", "criteria": [{"key": "address", "value": "10.0.0.1"}]}
WEB: Key = ("group", "fed.web")


def network(from_: str, to: str, number: int = 100_001) -> Policy:
    return parse("network_rule", {"id": number, "from": from_, "to": to, "action": "allow"})


def response(group: str = "", *webhooks: str) -> Policy:
    actions = {"event": "event", "actions": ["webhook"]}
    return parse("response_rule", {"id": 100_001, "group": group, "webhooks": list(webhooks), **actions})


def world(*objects: Policy) -> dict[Key, Policy]:
    return {(kind_of(obj).name, kind_of(obj).key(obj)): obj for obj in objects}


DLP = parse("dlp_group", {"name": "fed.web", "sensors": [{"name": "fed.cards"}]})
WAF = parse("waf_group", {"name": "fed.web", "sensors": [{"name": "fed.jndi"}]})
PROCESS = parse("process_profile", {"group": "fed.web"})
FILES = parse("file_profile", {"group": "fed.web"})


def _id(value: object) -> str:
    """Name a case the same in every process: a set has no order."""
    return " ".join(sorted(map(str, value))) if isinstance(value, set) else type(value).__name__


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (network("fed.web", "fed.db"), {WEB, ("group", "fed.db")}),
        (network("external", "fed.nodes"), set()),
        (network("fed.containers", "containers"), set()),
        (network("nodes", "fed.external"), set()),
        (response(), set()),
        (response("external", "fed.soc"), {("webhook", "fed.soc")}),
        (response("fed.web", "fed.soc", "fed.b"), {WEB, ("webhook", "fed.soc"), ("webhook", "fed.b")}),
        (PROCESS, {WEB}),
        (FILES, {WEB}),
        (DLP, {WEB, ("dlp_sensor", "fed.cards")}),
        (WAF, {WEB, ("waf_sensor", "fed.jndi")}),
        (parse("group", GROUP), set()),
        (parse("admission_state", {"enable": True}), set()),
    ],
    ids=_id,
)
def test_references_are_the_federated_objects_that_are_needed(obj: Policy, expected: set[Key]) -> None:
    assert references(obj) == expected


@pytest.mark.parametrize(
    "obj", [network("fed.a", "fed.b"), response("fed.a", "fed.b"), PROCESS, FILES, DLP, WAF]
)
def test_the_table_of_kinds_names_what_is_needed_first(obj: Policy) -> None:
    order = list(KINDS)

    assert all(order.index(kind) < order.index(kind_of(obj).name) for kind, _ in references(obj))


def test_a_reference_to_nothing_names_the_field_and_the_object() -> None:
    found = dangling(world(parse("group", GROUP)), [network("fed.web", "fed.db")])

    assert [(fault.field, fault.message) for fault in found] == [
        ("to", "to names the group 'fed.db', which does not exist in the federation")
    ]


def test_a_sensor_of_the_other_sort_does_not_count() -> None:
    waf = parse("waf_sensor", {"name": "fed.cards"})

    assert [fault.field for fault in dangling(world(parse("group", GROUP), waf), [DLP])] == [
        "sensors[0].name"
    ]


def test_what_exists_after_the_change_is_enough() -> None:
    objects = world(parse("group", GROUP), parse("dlp_sensor", {"name": "fed.cards"}), DLP)

    assert dangling(objects, objects.values()) == []


@pytest.mark.parametrize("carried", [PROCESS, FILES, DLP, WAF], ids=str)
def test_addresses_carry_no_profiles_and_no_sensors(carried: Policy) -> None:
    sensors = parse("dlp_sensor", {"name": "fed.cards"}), parse("waf_sensor", {"name": "fed.jndi"})
    addresses = parse("group", ADDRESSES)
    objects = world(addresses, carried, *sensors)

    assert len(dangling(objects, [carried])) == 1
    assert [fault.field for fault in dangling(objects, [addresses])] == ["criteria"]


def test_deleting_a_group_takes_everything_along_that_uses_it() -> None:
    kept = network("fed.db", "external", 100_002)
    objects = world(network("fed.web", "fed.db"), kept, response("fed.web"), PROCESS, FILES, DLP, WAF)

    assert cascade({"fed.web"}, objects) == {
        ("network_rule", "100001"),
        ("response_rule", "100001"),
        ("process_profile", "fed.web"),
        ("file_profile", "fed.web"),
        ("dlp_group", "fed.web"),
        ("waf_group", "fed.web"),
    }
    assert cascade(set(), objects) == set()


def test_a_webhook_or_sensor_in_use_cannot_be_deleted() -> None:
    objects = world(response("", "fed.soc"), DLP)

    webhook = in_use({("webhook", "fed.soc")}, objects)
    sensor = in_use({("dlp_sensor", "fed.cards")}, objects)

    assert webhook[0].message.startswith(
        "the webhook 'fed.soc' cannot be deleted: the response rule '100001'"
    )
    assert len(sensor) == 1
    assert in_use({("waf_sensor", "fed.cards"), ("webhook", "fed.other")}, objects) == []
