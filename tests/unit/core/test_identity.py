"""Who a joining cluster is."""

import msgspec
import pytest

from fedbus.core import identity
from fedbus.model.federation import Cluster, JoinRequest, Token, Versions

MEMBER = Cluster(
    id="c1", name="shop", nkey="U1", renew_nkey="U2", versions=Versions(fedbus="1"), joined_at="then",
    cluster_uid="uid", labels={"env": "prod"}, token_id="t0",
)  # fmt: skip
BOUND = Token(id="t1", hash="", created_at="", created_by="", expires_at=0, cluster_name="shop")
FREE = msgspec.structs.replace(BOUND, cluster_name="")
SAME_KEYS = JoinRequest(name="shop", nkey="U1", renew_nkey="U2", versions=Versions(fedbus="2"))
NEW_KEYS = msgspec.structs.replace(SAME_KEYS, nkey="U3", renew_nkey="U4", cluster_uid="uid")


def test_the_same_keys_are_the_same_cluster_with_any_token() -> None:
    assert identity.returning([MEMBER], FREE, SAME_KEYS, by_uid=False) == MEMBER


def test_the_same_uid_counts_with_a_token_made_for_the_name() -> None:
    assert identity.returning([MEMBER], BOUND, NEW_KEYS, by_uid=True) == MEMBER


@pytest.mark.parametrize(
    ("member", "token", "request_", "by_uid"),
    [
        (MEMBER, FREE, NEW_KEYS, True),
        (MEMBER, BOUND, NEW_KEYS, False),
        (MEMBER, BOUND, msgspec.structs.replace(NEW_KEYS, cluster_uid="other"), True),
        (MEMBER, BOUND, msgspec.structs.replace(NEW_KEYS, cluster_uid=""), True),
        (msgspec.structs.replace(MEMBER, cluster_uid=""), BOUND, NEW_KEYS, True),
        (msgspec.structs.replace(MEMBER, state="removed"), BOUND, SAME_KEYS, True),
        (MEMBER, FREE, msgspec.structs.replace(SAME_KEYS, name="other"), True),
        (MEMBER, FREE, msgspec.structs.replace(SAME_KEYS, renew_nkey="U9"), True),
    ],
    ids=["token for anybody", "forbidden", "another uid", "no uid", "none then", "removed", "name", "half"],
)
def test_anybody_else_is_somebody_new(
    member: Cluster, token: Token, request_: JoinRequest, *, by_uid: bool
) -> None:
    assert identity.returning([member], token, request_, by_uid=by_uid) is None


def test_who_comes_back_keeps_the_id_and_the_labels_and_loses_the_old_keys() -> None:
    back = identity.taken_over(MEMBER, NEW_KEYS, BOUND, at="now", now=7)

    assert (back.id, back.labels, back.nkey, back.token_id) == ("c1", {"env": "prod"}, "U3", "t1")
    assert back.former_keys == {"U1": 7, "U2": 7}
    same = identity.taken_over(back, SAME_KEYS, FREE, at="now", now=9)
    assert same.former_keys == {"U1": 7, "U2": 7, "U3": 9, "U4": 9}
    assert identity.taken_over(MEMBER, SAME_KEYS, FREE, at="now", now=9).former_keys == {}
