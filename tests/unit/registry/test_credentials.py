"""Credentials of registries are sealed on disk, and what fails leaves them as they were."""

import asyncio
from pathlib import Path

import pytest

from fedbus.cluster.registries.credentials import CredentialStore
from fedbus.errors import Conflict, Unavailable
from fedbus.runtime import Clock

HELD = {"password": "pass-word", "@registry": "https://r.example/"}


@pytest.fixture
def store(tmp_path: Path) -> CredentialStore:
    return CredentialStore(tmp_path, Clock())


async def put(store: CredentialStore, name: str, secrets: dict[str, str]) -> None:
    async with store.changed(name, lambda _: secrets, fresh=True):
        pass


async def test_what_is_put_is_read_again_also_by_another_and_stands_nowhere_in_clear(
    store: CredentialStore, tmp_path: Path
) -> None:
    await put(store, "hub", HELD)
    assert await CredentialStore(tmp_path, Clock()).get("hub") == HELD
    assert await store.get("other") == {}
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) == 2
    for file in files:
        assert b"pass-word" not in file.read_bytes()
        assert file.stat().st_mode & 0o777 == 0o600


async def test_a_change_that_fails_or_is_cancelled_leaves_what_was(store: CredentialStore) -> None:
    await put(store, "hub", HELD)
    seen = {}

    async def refused() -> None:
        async with store.changed("hub", lambda _: {"password": "other"}, fresh=False):
            seen.update(await store.get("hub"))
            raise Conflict("no")

    with pytest.raises(Conflict):
        await refused()
    assert seen == {"password": "other"}
    assert await store.get("hub") == HELD

    inside = asyncio.Event()

    async def slow() -> None:
        async with store.changed("hub", lambda _: {}, fresh=False):
            inside.set()
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(slow())
        await inside.wait()
        task.cancel()
    assert await store.get("hub") == HELD


async def test_credentials_that_were_given_anew_are_not_removed_with_those_before(
    store: CredentialStore,
) -> None:
    await put(store, "hub", HELD)
    before = await store.names()
    await put(store, "hub", HELD | {"password": "new"})
    await store.remove("hub", before["hub"])
    assert (await store.get("hub"))["password"] == "new"
    await store.remove("hub", (await store.names())["hub"])
    assert await store.names() == {}


async def test_sealed_for_one_registry_they_do_not_open_for_another(
    store: CredentialStore, tmp_path: Path
) -> None:
    import msgspec

    await put(store, "hub", HELD)
    file = tmp_path / "registries" / "credentials"
    held = msgspec.msgpack.decode(file.read_bytes(), type=dict[str, bytes])
    file.write_bytes(msgspec.msgpack.encode({"other": held["hub"]}))
    with pytest.raises(Unavailable) as caught:
        await store.get("other")
    assert (caught.value.code, "hub" in caught.value.message) == ("CREDENTIALS_UNREADABLE", False)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x81\xa3hub\xc4\x03abc"])
async def test_a_damaged_file_is_said_and_can_be_written_over(
    store: CredentialStore, tmp_path: Path, content: bytes
) -> None:
    await put(store, "hub", HELD)
    file = tmp_path / "registries" / "credentials"
    file.write_bytes(content)
    with pytest.raises(Unavailable) as caught:
        await store.get("hub")
    assert caught.value.remedy
    file.unlink()
    await put(store, "hub", HELD)
    assert await store.get("hub") == HELD
