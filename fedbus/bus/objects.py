"""Object stores: what is too large for a message, by name, in chunks.

The master writes them as nats-py does. A worker reads by direct gets, one chunk at a time, since it may
neither make consumers on a bucket nor see its stream: it asks for the record of an object, and then for each
chunk behind the last one that it has.
"""

import base64
from typing import NamedTuple

import msgspec
import nats.errors
import nats.js.errors
from nats.js.api import ObjectMeta, ObjectMetaOptions
from nats.js.object_store import ObjectStore

from fedbus.bus.session import Connection
from fedbus.core import connectivity
from fedbus.errors import NotFound
from fedbus.model import subjects

CHUNK = 128 * 1024
"""Bytes of one chunk; what a transfer that was cut loses."""


class Chunk(NamedTuple):
    """One piece of an object and the sequence that the bucket has it at."""

    seq: int
    body: bytes


class Record(msgspec.Struct, frozen=True):
    """What a bucket says of an object: where its chunks are, and how many."""

    nuid: str = ""
    size: int = 0
    chunks: int = 0
    deleted: bool = False


class _Found(msgspec.Struct):
    subjects: dict[str, int] | None = None


class _Info(msgspec.Struct):
    state: _Found = msgspec.field(default_factory=_Found)


class Bucket:
    """One object store; `api` is what JetStream's calls begin with in the account of the connection."""

    def __init__(self, connection: Connection, name: str, *, api: str = subjects.JETSTREAM_API) -> None:
        self._connection, self._name, self._api = connection, name, api
        self._stream = f"OBJ_{name}"

    async def put(self, name: str, data: bytes) -> None:
        """Store an object; one of that name is replaced. Raises Unavailable."""
        store = ObjectStore(self._name, self._stream, self._connection.jetstream())
        meta = ObjectMeta(name=name, options=ObjectMetaOptions(max_chunk_size=CHUNK))
        try:
            await store.put(name, data, meta)
        except (TimeoutError, nats.errors.Error, nats.js.errors.Error, OSError) as error:
            raise connectivity.error(
                "BUS_NOT_STORING", f"the bus did not store an object: {error}"
            ) from error

    async def names(self) -> set[str]:
        """Return the names of all objects. Raises Unavailable."""
        prefix = f"$O.{self._name}.M."
        found: set[str] = set()
        while True:
            request = {"subjects_filter": f"{prefix}>", "offset": len(found)}
            answer = await self._connection.request(
                f"{self._api}.STREAM.INFO.{self._stream}", msgspec.json.encode(request)
            )
            page = msgspec.json.decode(answer.data, type=_Info).state.subjects or {}
            if not page:
                return found
            found |= {base64.urlsafe_b64decode(s.removeprefix(prefix)).decode() for s in page}

    async def delete(self, name: str) -> None:
        """Delete an object and every trace of it. Raises Unavailable."""
        try:
            record = await self.record(name)
        except NotFound:
            return
        for subject in (_record_subject(self._name, name), f"$O.{self._name}.C.{record.nuid}"):
            body = msgspec.json.encode({"filter": subject})
            await self._connection.request(f"{self._api}.STREAM.PURGE.{self._stream}", body)

    async def record(self, name: str) -> Record:
        """Return what the bucket says of an object. Raises NotFound, Unavailable."""
        _, data = await self._get({"last_by_subj": _record_subject(self._name, name)})
        try:
            record = msgspec.json.decode(data, type=Record)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise NotFound(f"the record of the object {name} is garbled", code="LARGE_MISSING") from error
        if record.deleted:
            raise NotFound(f"the object {name} is deleted", code="LARGE_MISSING")
        return record

    async def chunk(self, record: Record, after: int) -> Chunk:
        """Return the chunk of an object behind a sequence. Raises NotFound, Unavailable."""
        return await self._get({"next_by_subj": f"$O.{self._name}.C.{record.nuid}", "seq": after + 1})

    async def _get(self, what: dict[str, object]) -> Chunk:
        answer = await self._connection.request(
            f"{self._api}.DIRECT.GET.{self._stream}", msgspec.json.encode(what)
        )
        seq = answer.headers.get("Nats-Sequence", "")
        if not seq:
            raise NotFound("the bucket does not have it", code="LARGE_MISSING")
        return Chunk(int(seq), answer.data)


def _record_subject(bucket: str, name: str) -> str:
    return f"$O.{bucket}.M.{base64.urlsafe_b64encode(name.encode()).decode()}"
