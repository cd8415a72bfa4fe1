"""One SQLite file: a writer thread, a reader thread, WAL; a damaged file is set aside, not repaired."""

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Self, TypeVar

from fedbus import metrics
from fedbus.errors import Unavailable
from fedbus.store.lane import Lane
from fedbus.store.schema import SCANS, migrate
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
        sqlite3.SQLITE_INTERRUPT,
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


def _roomy(connection: sqlite3.Connection) -> None:
    """Give a large store a larger cache (16 MiB) and longer runs between two checkpoints of its log."""
    connection.execute("PRAGMA cache_size = -16384")
    connection.execute("PRAGMA wal_autocheckpoint = 4000")


def _sound(path: Path, durability: Durability, further: Sequence[str], *, check: bool) -> sqlite3.Connection:
    """Open and check the file; raises sqlite3.DatabaseError where it is damaged."""
    path.touch(mode=0o600)  # before SQLite does: its log gets the mode of the file
    connection = _connect(path, durability)
    try:
        if check:
            _check(connection)
        migrate(connection, str(path), further)
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

    With `scans` it is a store of scan results: it has their tables too, and since reading all of a file of
    a gigabyte takes long, it is served at once and looked through by `examine`.
    """

    def __init__(self, path: Path, durability: Durability, *, scans: bool = False) -> None:
        self.path = path
        self.durability = durability
        self._further, self._check_first = (SCANS if scans else ()), not scans
        self.begun = 0
        """How often the file was begun anew since this was opened."""
        self.suspect = asyncio.Event()
        """Set when the file turned out to be damaged in use: `examine` it."""
        self.damaged: Path | None = None
        """Where a damaged file was moved when this one was opened."""

    async def __aenter__(self) -> Self:
        self._writer, self._reader = Lane("store-writer"), Lane("store-reader")
        self._loop = asyncio.get_running_loop()
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
            self._write_connection = self._opened(check=self._check_first)
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise Unavailable(
                    f"the store {self.path} cannot be opened: {error}",
                    code="STORE_UNAVAILABLE",
                    remedy="free disk space or repair the disk that holds the data directory",
                ) from error
            self.damaged = _set_aside(self.path)
            self._write_connection = self._opened(check=False)
        self.path.chmod(0o600)
        self._read_connection = _connect(self.path, self.durability)
        if self._further:
            _roomy(self._write_connection)
            _roomy(self._read_connection)
        self._data_version = self._current_data_version()

    def _opened(self, *, check: bool) -> sqlite3.Connection:
        return _sound(self.path, self.durability, self._further, check=check)

    async def examine(self) -> bool:
        """Read the whole file beside its use; a damaged one is set aside and begun anew. Tell if it was.

        Raises Unavailable when the disk does not let it be read.
        """
        if await self._is_sound():
            return False
        parked, done = threading.Event(), threading.Event()

        def park() -> None:
            parked.set()
            done.wait()

        def replace() -> None:
            parked.wait()
            try:
                self._begin_anew()
            finally:
                done.set()

        reading = self._reader.run(park)
        await self._writer.run(replace)
        await reading
        self.suspect.clear()
        return True

    async def _is_sound(self) -> bool:
        try:
            connection = _connect(self.path, self.durability)
        except sqlite3.DatabaseError as error:
            return not self._tells_damage(error)
        try:
            return await asyncio.to_thread(self._checked, connection)
        except asyncio.CancelledError:
            connection.interrupt()  # or whoever stops waits until all of it was read
            raise

    def _checked(self, connection: sqlite3.Connection) -> bool:
        try:
            _check(connection)
        except sqlite3.DatabaseError as error:
            return not self._tells_damage(error)
        finally:
            connection.close()
        return True

    def _tells_damage(self, error: sqlite3.DatabaseError) -> bool:
        """Tell whether an error is the file's fault. Raises Unavailable if the disk is at fault."""
        if _is_damage(error):
            return True
        raise Unavailable(f"the store {self.path} cannot be read: {error}") from error

    def _begin_anew(self) -> None:
        self._read_connection.close()
        self._write_connection.close()
        self.damaged = _set_aside(self.path)
        self.begun += 1
        self._open()

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

    @contextlib.contextmanager
    def _usable(self) -> Iterator[None]:
        """Take damage that only turns up in use, where the file was not read before, for what it is."""
        try:
            with _available():
                yield
        except sqlite3.DatabaseError as error:
            if self._check_first or type(error) is not sqlite3.DatabaseError or not _is_damage(error):
                raise
            self._loop.call_soon_threadsafe(self.suspect.set)
            raise Unavailable(
                f"the store {self.path} is damaged: {error}",
                code="STORE_UNAVAILABLE",
                remedy="it is set aside and made anew by itself",
            ) from error

    def _write(self, work: Callable[[Transaction], T]) -> T:
        began = time.perf_counter()
        with self._usable(), _transaction(self._write_connection, "BEGIN IMMEDIATE"):
            done = work(Transaction(self._write_connection))
        metrics.committed(time.perf_counter() - began)
        return done

    def _read(self, work: Callable[[Transaction], T]) -> T:
        with self._usable(), _transaction(self._read_connection, "BEGIN"):
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
