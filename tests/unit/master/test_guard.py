"""The guard: what it takes for odd, and what it knows as our own."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from fedbus.bus.session import Message
from fedbus.master.guard import age, has
from tests.unit.master.test_ledger import World


@pytest.fixture
def written() -> Iterator[World]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        yield World(connection)


def elsewhere(message: Message) -> Message:
    return message._replace(seq=9)


async def test_only_the_newest_of_what_was_written_is_known_without_a_look_at_its_signature(
    written: World,
) -> None:
    await written.write(["a"], "one")
    await written.write(["a"], "two")
    tx = written.database.tx

    assert [has(tx, written.bus.stream[index]) for index in (0, 1)] == [False, True]
    assert not has(tx, elsewhere(written.bus.stream[1]))
    assert not has(tx, written.bus.stream[1]._replace(data=b"another"))


async def test_what_was_written_over_is_not_odd_and_what_comes_back_above_it_is(written: World) -> None:
    await written.write(["a"], "one")
    await written.write(["a"], "two")
    tx = written.database.tx

    assert age(tx, written.bus.stream[0]) == 0
    assert age(tx, elsewhere(written.bus.stream[0])) == -1
