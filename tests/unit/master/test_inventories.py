from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from fedbus.core.inventory_report import packed
from fedbus.errors import FedbusError
from fedbus.master.inventories import Inventories
from fedbus.model import codec
from fedbus.model.federation import Cluster, Versions
from fedbus.model.inventory import ReportedWorkload
from fedbus.runtime import Clock
from fedbus.store.database import Database
from tests.support.admission import pod


class Moved(Clock):
    """A clock that the test moves."""

    at = 1000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


@pytest_asyncio.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database(tmp_path / "store.db", "FULL") as opened:
        yield opened


async def test_the_last_report_of_a_cluster_is_kept_and_goes_with_it(database: Database) -> None:
    inventories = Inventories(database, Moved())
    body, encoding, digest = packed([ReportedWorkload(manifest=pod())], complete=True)

    await inventories.take("a", body, encoding)

    found = await inventories.of("a")
    assert found is not None
    held, report = found
    assert (held.at, held.digest, len(report.workloads)) == (1000.0, digest, 1)
    assert await inventories.of("b") is None
    left = Cluster(
        id="a", name="a", nkey="", renew_nkey="", versions=Versions(fedbus=""), joined_at="", state="left"
    )
    await inventories.drop([left])
    assert await inventories.of("a") is None


async def test_reports_that_come_too_fast_are_refused(database: Database) -> None:
    clock = Moved()
    inventories = Inventories(database, clock)
    body, encoding, _ = packed([], complete=True)
    await inventories.take("a", body, encoding)

    with pytest.raises(FedbusError) as caught:
        await inventories.take("a", body, encoding)
    assert caught.value.code == "TOO_SOON"
    await inventories.take("b", body, encoding)  # another cluster's reports are its own
    clock.at += 60
    await inventories.take("a", body, encoding)


BOMB = codec.pack(b"[" + b"0," * (codec.MAX_PAYLOAD // 2) + b"0]")


@pytest.mark.parametrize(
    ("body", "encoding", "code"),
    [
        (b"", "", "REQUEST_INVALID"),
        (b"{}", "", "REQUEST_INVALID"),
        (b'{"workloads":[7]}', "", "REQUEST_INVALID"),
        (b'{"workloads":' + b"[" * 100_000, "", "REQUEST_INVALID"),
        (b"\xff", "", "REQUEST_INVALID"),
        (b"{}", "gzip", "ENCODING_UNKNOWN"),
        (b"{}", "zstd", "PAYLOAD_CORRUPT"),
        (*BOMB, "PAYLOAD_TOO_LARGE"),
        (bytes(codec.MAX_BODY + 1), "", "TOO_LARGE"),
    ],
    ids=["empty", "no field", "no workload", "deep", "no text", "gzip", "no zstd", "bomb", "large"],
)
async def test_what_is_no_report_is_refused_and_the_last_one_kept(
    database: Database, body: bytes, encoding: str, code: str
) -> None:
    clock = Moved()
    inventories = Inventories(database, clock)
    await inventories.take("a", *packed([], complete=True)[:2])
    clock.at += 60

    with pytest.raises(FedbusError) as caught:
        await inventories.take("a", body, encoding)

    assert caught.value.code == code
    assert await inventories.of("a") is not None
