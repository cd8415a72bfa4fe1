"""What each role may do on the bus. Data only: this file is the whole truth about permissions.

The account JWT carries these scopes as templates of scoped signing keys, so a user's JWT holds a name
and nothing else, and one push of the account JWT changes every cluster's permissions at once.
`{{name()}}` stands for the name in the user's JWT: the cluster id, the token id, the auditor's name.

What is not listed is refused by the server. On purpose nobody but the master gets:
- `$JS.API.CONSUMER.CREATE.<stream>` without name and filter: its body may carry any filter;
- `$JS.API.STREAM.>`, `$JS.API.DIRECT.>`: they read, change and delete across clusters;
- inboxes other than the own one: a reply is as private as the request.
"""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

Role = Literal["join", "worker", "renew", "auditor", "master"]

UNLIMITED: Final = -1
_NAME: Final = "{{name()}}"
_INBOX: Final = f"_INBOX_{_NAME}.>"


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """One role: the subjects it may publish and subscribe to, and its limits."""

    role: Role
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    bearer: bool = False
    """Whether the JWT alone is enough; otherwise the client proves that it holds the key."""
    max_subscriptions: int = 50
    max_payload: int = UNLIMITED
    """Bytes in one message; unlimited means the server's own limit."""


def _consumer(stream: str, name: str, filter_subject: str) -> tuple[str, ...]:
    """One pull consumer, pinned to name and filter: make, drop, pull, acknowledge.

    The server refuses a create call whose body names another consumer or filter than its subject does.
    Acknowledgements have two forms, with and without domain and account (NATS ADR-15).
    """
    return (
        f"$JS.API.CONSUMER.CREATE.{stream}.{name}.{filter_subject}",
        f"$JS.API.CONSUMER.DELETE.{stream}.{name}",
        f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}",
        f"$JS.ACK.{stream}.{name}.>",
        f"$JS.ACK.*.*.{stream}.{name}.>",
    )


JOIN: Final = Scope(
    role="join",
    publish=(f"fed.v1.join.{_NAME}",),
    subscribe=(_INBOX,),
    bearer=True,
    max_subscriptions=5,
    max_payload=8192,
)

WORKER: Final = Scope(
    role="worker",
    publish=(
        *_consumer("POLICY", f"{_NAME}-all", "fed.v1.ev.all.>"),
        *_consumer("POLICY", f"{_NAME}-own", f"fed.v1.ev.c.{_NAME}.>"),
        # A diagnosis tries a consumer of its own: those two are the daemon's, which may be running.
        *_consumer("POLICY", f"{_NAME}-doctor", "fed.v1.ev.all.>"),
        f"fed.v1.up.{_NAME}.hb",
        f"fed.v1.up.{_NAME}.leave",
        f"fed.v1.up.{_NAME}.renew",
        f"fed.v1.up.{_NAME}.report",
    ),
    subscribe=(_INBOX, "fed.v1.live.checkpoint"),
)

RENEW: Final = Scope(
    role="renew",
    publish=(f"fed.v1.up.{_NAME}.renew",),
    subscribe=(_INBOX,),
    max_subscriptions=5,
    max_payload=8192,
)
"""Held beside the worker's credential under a key of its own: it outlives the worker's JWT and its
revocation, so a cluster that slept too long or was removed can still ask, and be told, signed."""

AUDITOR: Final = Scope(
    role="auditor",
    publish=_consumer("AUDIT", f"aud-{_NAME}", "fed.v1.audit.>"),
    subscribe=(_INBOX,),
)

MASTER: Final = Scope(role="master", publish=(">",), subscribe=(">",), max_subscriptions=UNLIMITED)

SCOPES: Final[Mapping[Role, Scope]] = {scope.role: scope for scope in (JOIN, WORKER, RENEW, AUDITOR, MASTER)}
