"""What each role may do on the bus. Data only: this file is the whole truth about permissions.

There are two accounts. The federation's has JetStream, the streams and the master. Everybody else is in the
members' account, which has nothing of its own and imports `SHARES`, no more; the other way the federation's
account imports `ANSWERED`, what the master asks the workers. Why: the server checks what a
client publishes to, and not where it has the answer delivered (measured, 2.15.1). A member that may pull
from its own consumer could have the server's "404 no messages" delivered to `$JS.API.STREAM.DELETE.AUDIT`,
and the stream was gone. The answer to an imported call goes back to the account it came from, and is
not taken for a call there.

The account JWTs carry these scopes as templates of scoped signing keys, so a user's JWT holds a name
and nothing else, and one push of the account JWT changes every cluster's permissions at once.
`{{name()}}` stands for the name in the user's JWT: the cluster id, the token id, the auditor's name.

What is not listed is refused by the server. On purpose nobody but the master gets, of JetStream's API:
- `CONSUMER.CREATE.<stream>` without name and filter: its body may carry any filter;
- `STREAM.>`, `DIRECT.>`: they read, change and delete across clusters; but for the bucket of large scan
  results, which has nothing that is not for every cluster;
- inboxes other than the own one: a reply is as private as the request.
"""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from fedbus.model.subjects import CHECKPOINT, JETSTREAM_API, MEMBERS_API

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
    answers_within: int = 0
    """Seconds in which one answer to each message that came may be published to that message's reply, a
    subject that is not listed here; 0 for no such answers."""


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """What one account lets the other have: the federation's the members' or, of `ANSWERED`, the reverse.

    Only who holds an activation token of ours may import it: on an operator's bus there are other accounts.
    """

    subject: str
    """In the account that lets it."""
    local: str
    """What it is called in the other."""
    stream: bool = False
    """Whether it flows to the other; otherwise that one calls it."""
    many_answers: bool = False
    """Whether a call may be answered more than once."""


def _consumer(stream: str, name: str, filter_subject: str) -> tuple[str, ...]:
    """One pull consumer, pinned to name and filter: make, drop, pull, acknowledge.

    The server refuses a create call whose body names another consumer or filter than its subject does.
    Acknowledgements have two forms, with and without domain and account (NATS ADR-15).
    """
    return (
        f"{MEMBERS_API}.CONSUMER.CREATE.{stream}.{name}.{filter_subject}",
        f"{MEMBERS_API}.CONSUMER.DELETE.{stream}.{name}",
        f"{MEMBERS_API}.CONSUMER.MSG.NEXT.{stream}.{name}",
        f"$JS.ACK.{stream}.{name}.>",
        f"$JS.ACK.*.*.{stream}.{name}.>",
    )


def _call(subject: str, *, many_answers: bool = False) -> Share:
    local = subject.replace(JETSTREAM_API, MEMBERS_API)
    return Share(subject=subject, local=local, many_answers=many_answers)


def _consumers(stream: str, *filter_subjects: str) -> tuple[Share, ...]:
    """Share the calls of `_consumer` for every name; the scopes pin the names."""
    return (
        *(_call(f"{JETSTREAM_API}.CONSUMER.CREATE.{stream}.*.{subject}") for subject in filter_subjects),
        _call(f"{JETSTREAM_API}.CONSUMER.DELETE.{stream}.*"),
        _call(f"{JETSTREAM_API}.CONSUMER.MSG.NEXT.{stream}.*", many_answers=True),
        _call(f"$JS.ACK.{stream}.>"),
        _call(f"$JS.ACK.*.*.{stream}.>"),
    )


SHARES: Final = (
    *_consumers("POLICY", "fed.v1.ev.all.>", "fed.v1.ev.c.>"),
    *_consumers("SCANS", "fed.v1.ev.scans.>"),
    _call(f"{JETSTREAM_API}.DIRECT.GET.OBJ_scans"),
    *_consumers("AUDIT", "fed.v1.audit.>"),
    *(_call(f"fed.v1.up.*.{what}") for what in ("hb", "inventory", "leave", "renew", "report")),
    _call("fed.v1.join.*"),
    Share(subject=CHECKPOINT, local=CHECKPOINT, stream=True),
)

ANSWERED: Final = (_call("fed.v1.rpc.*"),)
"""What the members' account answers the federation's. Nobody in the members' account may publish there, but
an answer can be steered there (see above): so a worker answers only what the federation signed for it."""


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
        *_consumer("SCANS", f"{_NAME}-scans", "fed.v1.ev.scans.>"),
        # The bucket of large reports, which are for every cluster; by sequence and by subject in the body.
        f"{MEMBERS_API}.DIRECT.GET.OBJ_scans",
        # A diagnosis tries a consumer of its own: those two are the daemon's, which may be running.
        *_consumer("POLICY", f"{_NAME}-doctor", "fed.v1.ev.all.>"),
        f"fed.v1.up.{_NAME}.hb",
        f"fed.v1.up.{_NAME}.inventory",
        f"fed.v1.up.{_NAME}.leave",
        f"fed.v1.up.{_NAME}.renew",
        f"fed.v1.up.{_NAME}.report",
    ),
    subscribe=(_INBOX, CHECKPOINT, f"fed.v1.rpc.{_NAME}"),
    answers_within=60,
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

MEMBERS: Final[tuple[Role, ...]] = ("join", "worker", "renew", "auditor")
"""The roles of the members' account."""
SCOPES: Final[Mapping[Role, Scope]] = {scope.role: scope for scope in (JOIN, WORKER, RENEW, AUDITOR, MASTER)}
