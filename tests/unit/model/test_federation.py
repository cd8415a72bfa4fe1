"""What clusters and master say to each other survives the wire; newer fields stop no older build."""

import msgspec
import pytest

from fedbus.model import codec
from fedbus.model.federation import (
    BusReply,
    Checkpoint,
    Cluster,
    Heartbeat,
    JoinRequest,
    Refusal,
    ScopeState,
    Token,
    Versions,
)

EXAMPLES = [
    Checkpoint(federation_id="f", epoch=2, time=1.5, scopes={"all": ScopeState(epoch=2, version=3, seq=4)}),
    Heartbeat(sent_at=1.0, versions=Versions(fedbus="1"), scopes={"all": ScopeState()}, counts={"group": 1}),
    Cluster(id="c", name="east", nkey="U", renew_nkey="V", versions=Versions(fedbus="1"), joined_at="t"),
    Token(id="t", hash="h", created_at="a", created_by="admin", expires_at=5),
    JoinRequest(name="east", nkey="U", renew_nkey="V", versions=Versions(fedbus="1"), labels={"a": "b"}),
    BusReply(refused=Refusal(code="X", message="m")),
]


@pytest.mark.parametrize("value", EXAMPLES, ids=lambda v: type(v).__name__)
def test_a_message_comes_back_as_it_was(value: msgspec.Struct) -> None:
    assert codec.decode(codec.encode(value), type(value)) == value


@pytest.mark.parametrize("value", EXAMPLES, ids=lambda v: type(v).__name__)
def test_a_field_of_a_newer_build_is_ignored(value: msgspec.Struct) -> None:
    newer = msgspec.to_builtins(value) | {"a_field_of_tomorrow": [1]}
    assert codec.decode(codec.encode(newer), type(value)) == value


def test_an_empty_scope_has_the_empty_digest() -> None:
    assert ScopeState().digest == "0" * 64
