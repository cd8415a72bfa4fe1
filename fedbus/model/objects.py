"""What a store holds of one federated object, whatever its kind."""

import msgspec


class StoredObject(msgspec.Struct, frozen=True, kw_only=True):
    """The newest version of one object that a cluster holds.

    `scope` is `all`, `c.<cluster id>` or `m` (the master's own records); `payload` is the object as
    the JSON bytes that were signed; a deleted object keeps its stamp, so that an old event cannot
    bring it back. On a master `target` says whom an object is for if not for all, `clusters` (names by id)
    who has a copy of its own now.
    """

    scope: str
    kind: str
    name: str
    epoch: int
    revision: int
    version: int
    digest: str
    payload: bytes
    deleted: bool = False
    changed_at: str = ""
    target: dict[str, object] = {}
    clusters: dict[str, str] = {}
