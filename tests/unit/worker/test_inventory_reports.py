import asyncio

import pytest

from fedbus.bus.session import Connection
from fedbus.core.inventory import kept_of
from fedbus.core.inventory_report import read
from fedbus.errors import Unavailable
from fedbus.kube.inventory import Inventory
from fedbus.worker import inventory_reports
from fedbus.worker.inventory_reports import InventoryReports
from tests.support.admission import pod
from tests.support.daemons import eventually


class Master:
    """Takes what is sent, or does not."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.away = False
        self.asked = 0

    async def take(self, _connection: Connection, body: bytes, encoding: str) -> None:
        self.asked += 1
        if self.away:
            raise Unavailable("away", code="MASTER_AWAY")
        self.taken.append(len(read(body, encoding).workloads))


def runs(inventory: Inventory, *names: str, version: str = "1") -> None:
    pods = [pod(metadata={"name": name, "resourceVersion": version}) for name in names]
    held = kept_of(pods)
    inventory.replace("Deployment", {(ns, name): one for (_, ns, name), one in held.items()})


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory_reports, "SETTLE_SECONDS", 0.01)


async def test_what_runs_is_reported_when_it_changed_and_on_every_session_once() -> None:
    inventory, master = Inventory(), Master()
    reports = InventoryReports(inventory, 0.01, master.take)
    for session in range(2):
        connection = Connection("test")
        async with asyncio.TaskGroup() as group:
            group.create_task(reports.report(connection))
            runs(inventory, "a")

            async def first(number: int = session) -> bool:
                return master.taken[number * 2 :] == [1]

            await eventually(first)
            before = reports.digest
            runs(inventory, "a", version="2")  # nothing that counts
            runs(inventory, "a", "b", version="3")

            async def second(number: int = session) -> bool:
                return master.taken[number * 2 :] == [1, 2]

            await eventually(second)
            assert reports.digest != before
            connection.closed.set()
    assert master.taken == [1, 2, 1, 2]


async def test_a_report_that_was_not_taken_is_sent_again_and_not_said_to_hold() -> None:
    inventory, master = Inventory(), Master()
    master.away = True
    reports, connection = InventoryReports(inventory, 0.01, master.take), Connection("test")
    runs(inventory, "a")
    async with asyncio.TaskGroup() as group:
        group.create_task(reports.report(connection))

        async def tried() -> bool:
            return master.asked > 2

        await eventually(tried)
        assert reports.digest == ""
        master.away = False

        async def taken() -> bool:
            return bool(reports.digest)

        await eventually(taken)
        connection.closed.set()
    assert master.taken == [1]


async def test_a_change_waits_until_the_time_between_two_reports_is_over() -> None:
    inventory, patient, eager = Inventory(), Master(), Master()
    connection = Connection("test")
    runs(inventory, "a")
    async with asyncio.TaskGroup() as group:
        group.create_task(InventoryReports(inventory, 3600.0, patient.take).report(connection))
        group.create_task(InventoryReports(inventory, 0.01, eager.take).report(connection))

        async def both() -> bool:
            return patient.taken == eager.taken == [1]

        await eventually(both)
        runs(inventory, "a", "b")

        async def told() -> bool:
            return eager.taken == [1, 2]

        await eventually(told)
        connection.closed.set()
    assert patient.taken == [1]


async def test_where_nothing_is_known_nothing_is_reported() -> None:
    empty, known, inventory = Master(), Master(), Inventory()
    connection = Connection("test")
    runs(inventory, "a")
    async with asyncio.TaskGroup() as group:
        group.create_task(InventoryReports(Inventory(), 0.01, empty.take).report(connection))
        group.create_task(InventoryReports(inventory, 0.01, known.take).report(connection))

        async def told() -> bool:
            return known.taken == [1]

        await eventually(told)
        connection.closed.set()
    assert empty.asked == 0
