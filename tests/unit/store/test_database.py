"""The store's file: all or nothing, damage set aside, alterations noticed, a bad disk told apart."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from fedbus.errors import ConfigError, Unavailable
from fedbus.store.database import Database
from fedbus.store.schema import MIGRATIONS
from fedbus.store.transaction import Transaction


async def test_a_write_that_raises_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail(tx: Transaction) -> None:
        tx.set_meta("a", "1")
        raise ValueError("in the middle")

    async with Database(tmp_path / "store.db", "FULL") as database:
        with pytest.raises(ValueError, match="middle"):
            await database.write(fail)
        assert await database.read(lambda tx: tx.meta("a")) == ""
        await database.write(lambda tx: tx.set_meta("a", "2"))
    async with Database(tmp_path / "store.db", "FULL") as database:
        assert await database.read(lambda tx: tx.meta("a")) == "2"
        assert database.damaged is None
    assert (tmp_path / "store.db").stat().st_mode & 0o777 == 0o600


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "garbage": lambda content: os.urandom(len(content)),
    "cut short": lambda content: content[:5000],
    "a page of garbage": lambda content: content[:4096] + os.urandom(4096) + content[8192:],
    "a header that forgot its schema": lambda content: content[:60] + bytes(4) + content[64:],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
async def test_a_damaged_file_is_set_aside_and_an_empty_one_takes_its_place(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "store.db"
    for number in (1, 2):
        async with Database(path, "NORMAL") as database:
            await database.write(lambda tx: tx.set_meta("a", "1"))
        path.write_bytes(damage(path.read_bytes()))
        async with Database(path, "NORMAL") as database:
            assert database.damaged == tmp_path / f"store.db.damaged-{number}"
            assert await database.read(lambda tx: tx.meta("a")) == ""


async def test_a_disk_that_fails_is_told_apart_from_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "store.db").mkdir()
    with pytest.raises(Unavailable) as refused:
        async with Database(tmp_path / "store.db", "FULL"):
            pass
    assert refused.value.code == "STORE_UNAVAILABLE"
    assert (tmp_path / "store.db").is_dir()


async def test_a_file_of_a_newer_build_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(ConfigError) as refused:
        async with Database(path, "FULL"):
            pass
    assert refused.value.code == "STORE_TOO_NEW"
    assert path.exists()


async def test_store_and_log_are_their_owners_alone(tmp_path: Path) -> None:
    async with Database(tmp_path / "store.db", "FULL") as database:
        await database.write(lambda tx: tx.set_meta("a", "1"))
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"store.db": 0o600, "store.db-wal": 0o600, "store.db-shm": 0o600}


async def test_a_change_by_somebody_else_is_noticed_once_and_our_own_never(tmp_path: Path) -> None:
    async with Database(tmp_path / "store.db", "NORMAL") as database:
        await database.write(lambda tx: tx.set_meta("a", "1"))
        await database.read(lambda tx: tx.meta("a"))
        assert not await database.altered()
        other = sqlite3.connect(tmp_path / "store.db")
        with other:
            other.execute("UPDATE meta SET value='2'")
        other.close()
        assert await database.altered()
        assert not await database.altered()


async def test_a_full_disk_is_unavailable_and_not_a_crash(tmp_path: Path) -> None:
    async with Database(tmp_path / "store.db", "FULL") as database:
        await database.write(lambda tx: tx.set_meta("a", "1"))
        database._write_connection.execute("PRAGMA max_page_count = 1")  # what a full disk says
        with pytest.raises(Unavailable) as refused:
            await database.write(lambda tx: tx.set_meta("b", "x" * 1_000_000))
        assert refused.value.code == "STORE_UNAVAILABLE"
        assert await database.read(lambda tx: tx.meta("a")) == "1"
