from pathlib import Path

from fedbus.store.database import Database
from fedbus.store.inventories import HeldInventory


async def test_the_last_inventory_of_each_member_is_kept(tmp_path: Path) -> None:
    async with Database(tmp_path / "store.db", "FULL") as database:
        for cluster, digest in (("a", "1"), ("b", "2"), ("a", "3")):
            held = HeldInventory(cluster=cluster, at=1.0, digest=digest, encoding="", body=b"{}")
            await database.write(lambda tx, held=held: tx.inventories.put(held))  # type: ignore[misc]

        found = await database.read(lambda tx: tx.inventories.of("a"))
        assert found is not None
        assert found.digest == "3"
        await database.write(lambda tx: tx.inventories.keep({"b"}))
        assert await database.read(lambda tx: tx.inventories.of("a")) is None
        assert await database.read(lambda tx: tx.inventories.of("b")) is not None
