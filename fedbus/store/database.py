"""One SQLite file: a writer thread, a reader thread, WAL; a damaged file is set aside, not repaired."""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, Self, TypeVar

from fedbus import metrics
from fedbus.errors import Unavailable
from fedbus.store.lane import Lane
from fedbus.store.schema import migrate
from fedbus.store.transaction import Transaction

_ENVIRONMENT = frozenset(
    (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_NOMEM,
    )
)
"""What SQLite says when the disk or the process is at fault, and not what the file holds."""

T = TypeVar("T")
Durability = Literal["FULL", "NORMAL"]


def _connect(path: Path, durability: Durability) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {durability}")
    except BaseException:
        connection.close()
        raise
    return connection


def _sound(path: Path, durability: Durability) -> sqlite3.Connection:
    """Open and check the file; raises sqlite3.DatabaseError where it is damaged."""
    path.touch(mode=0o600)  # before SQLite does: its log gets the mode of the file
    connection = _connect(path, durability)
    try:
        _check(connection)
        migrate(connection, str(path))
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection) -> None:
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """Tell a file that is broken from a full disk or a lock: a good store is never moved away for those."""
    return (getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF) not in _ENVIRONMENT


def _set_aside(path: Path) -> Path:
    """Move a damaged file out of the way, keeping it for a look, and delete its log; return where to."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return aside


class Database:
    """The store of one daemon.

    `FULL` durability survives a power cut commit by commit (the master's copy); `NORMAL` may lose the
    newest commits together with their position, which the bus then delivers again (a worker's copy).
    """

    def __init__(self, path: Path, durability: Durability) -> None:
        self.path = path
        self.durability = durability
        self.damaged: Path | None = None
        """Where a damaged file was moved when this one was opened."""

    async def __aenter__(self) -> Self:
        self._writer, self._reader = Lane("store-writer"), Lane("store-reader")
        try:
            await self._writer.run(self._open)
        except BaseException:
            self._finish()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._finish()
        # Waiting for a thread must not be done on the loop: a commit may be in hand.
        await asyncio.get_running_loop().run_in_executor(None, self._close)

    def _open(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._write_connection = _sound(self.path, self.durability)
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise Unavailable(
                    f"the store {self.path} cannot be opened: {error}",
                    code="STORE_UNAVAILABLE",
                    remedy="free disk space or repair the disk that holds the data directory",
                ) from error
            self.damaged = _set_aside(self.path)
            self._write_connection = _sound(self.path, self.durability)
        self.path.chmod(0o600)
        self._read_connection = _connect(self.path, self.durability)
        self._data_version = self._current_data_version()

    def _close(self) -> None:
        self._writer.join()
        self._reader.join()
        self._read_connection.close()
        self._write_connection.close()

    def _finish(self) -> None:
        self._writer.finish()
        self._reader.finish()

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in one transaction in the writer thread: all of it is committed, or none.

        Raises Unavailable when the file cannot be written (a full or failing disk).
        """
        return await self._writer.run(self._write, work)

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` on one consistent snapshot, never waiting for a writer."""
        return await self._reader.run(self._read, work)

    async def altered(self) -> bool:
        """Tell whether somebody else has changed the file since the last call; nobody is supposed to."""
        return await self._writer.run(self._altered)

    def _altered(self) -> bool:
        before, self._data_version = self._data_version, self._current_data_version()
        return before != self._data_version

    def _current_data_version(self) -> int:
        # SQLite counts the commits of other connections; our own other one only reads.
        with _available():
            return int(self._write_connection.execute("PRAGMA data_version").fetchone()[0])

    def _write(self, work: Callable[[Transaction], T]) -> T:
        began = time.perf_counter()
        with _available(), _transaction(self._write_connection, "BEGIN IMMEDIATE"):
            done = work(Transaction(self._write_connection))
        metrics.committed(time.perf_counter() - began)
        return done

    def _read(self, work: Callable[[Transaction], T]) -> T:
        with _available(), _transaction(self._read_connection, "BEGIN"):
            return work(Transaction(self._read_connection))


@contextlib.contextmanager
def _available() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise Unavailable(
            f"the store does not accept the transaction: {error}",
            code="STORE_UNAVAILABLE",
            remedy="free disk space or repair the disk that holds the data directory",
        ) from error


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
