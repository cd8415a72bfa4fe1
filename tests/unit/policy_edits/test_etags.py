"""Entity tags and If-Match, as RFC 9110 has them."""

import pytest

from fedbus.core import etags
from fedbus.errors import Conflict
from fedbus.model.objects import StoredObject


def stored(name: str, version: int = 1, epoch: int = 1) -> StoredObject:
    return StoredObject(
        scope="all",
        kind="group",
        name=name,
        epoch=epoch,
        revision=1,
        version=version,
        digest="",
        payload=b"{}",
    )


def test_a_list_has_the_tag_of_what_is_in_it_whatever_the_order() -> None:
    tag = etags.of_all([stored("a"), stored("b")])

    assert tag == etags.of_all([stored("b"), stored("a")])
    others = [[], [stored("a")], [stored("a"), stored("b", 2)], [stored("a"), stored("b", 1, 2)]]
    assert tag not in map(etags.of_all, others)


@pytest.mark.parametrize("header", ["", '"1.2"', '"0.1" , "1.2"', "*"])
def test_a_condition_that_holds_lets_the_request_pass(header: str) -> None:
    etags.require(header, '"1.2"')


@pytest.mark.parametrize(
    ("header", "tag"), [('"1.1"', '"1.2"'), ("*", None), ('W/"1.2"', '"1.2"'), ("1.2", '"1.2"')]
)
def test_a_condition_that_does_not_hold_is_a_conflict(header: str, tag: str | None) -> None:
    with pytest.raises(Conflict) as caught:
        etags.require(header, tag, 7)

    assert (caught.value.code, caught.value.current_revision) == ("PRECONDITION_FAILED", 7)
