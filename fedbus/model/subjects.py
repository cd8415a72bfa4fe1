"""The subject grammar of the bus, protocol major version 1 (after NATS ADR-6).

    fed.v1.ev.<scope>.policy.<kind>.<name>      an object; scope is `all`, `c.<cluster id>` or `m`
    fed.v1.ev.<scope>.control.<what>.-          an instruction to one cluster (dismissed, resync)
    fed.v1.ev.<scope>.scan.<kind>.<name>        a scan's result; scope is `scans`, for every cluster, or
                                                `m-scans`, kept for the master
    fed.v1.ev.m.record.<kind>.<name>            the master's own records; no worker may read them
    fed.v1.up.<cluster>.<what>                  worker to master: hb, renew, leave, report, inventory
    fed.v1.rpc.<cluster>                        master to worker: a signed request, and its answer
    fed.v1.join.<token id>                      join
    fed.v1.live.checkpoint                      the signed head, every few seconds
    fed.v1.audit.<category>                     audit records
    fed.v1.js.<call>                            what members may call of JetStream's API, in their account

Names are escaped to the NATS token alphabet: every byte outside `A-Z a-z 0-9 _ - :` is written `%XX`.
"""

import re

import msgspec

from fedbus.errors import InvalidEvent

ROOT = "fed.v1"
SCOPE_ALL = "all"
SCOPE_MASTER = "m"
SCOPE_SCANS = "scans"
SCOPE_MASTER_SCANS = "m-scans"
POLICY_SCOPES = (SCOPE_ALL, "c", SCOPE_MASTER)
"""What the scopes of policy, records and instructions begin with."""
SCAN_SCOPES = (SCOPE_SCANS, SCOPE_MASTER_SCANS)
"""Apart from policy, in a stream and a store of their own: policy never waits behind scan results."""
CHECKPOINT = f"{ROOT}.live.checkpoint"
JOIN = f"{ROOT}.join.*"
AUDIT = f"{ROOT}.audit.>"
HEARTBEATS = f"{ROOT}.up.*.hb"
JETSTREAM_API = "$JS.API"
"""Before JetStream's calls in the federation's account."""
MEMBERS_API = f"{ROOT}.js"
"""Before the same calls in the members' account. Not `$JS.API`: under that name the server answers too, and
at once, that the account has no JetStream (measured, 2.15.1)."""

POLICY = "policy"
RECORD = "record"
CONTROL = "control"
SCAN = "scan"
_CATEGORIES = frozenset((POLICY, RECORD, CONTROL))
_SCAN_CATEGORIES = frozenset((SCAN,))

_UNSAFE = re.compile(rb"[^A-Za-z0-9_:-]")
_SAFE_TOKEN = re.compile(r"^(?:[A-Za-z0-9_:-]|%[0-9A-F]{2})+$")


class Address(msgspec.Struct, frozen=True, gc=False):
    """What a subject below `fed.v1.ev` names."""

    scope: str
    category: str
    kind: str
    name: str


def escape(name: str) -> str:
    """Return `name` as one NATS token; raises ValueError for the empty name."""
    if not name:
        raise ValueError("an empty name has no subject token")
    return _UNSAFE.sub(lambda m: b"%%%02X" % m[0][0], name.encode()).decode()


def unescape(token: str) -> str:
    """Return the name that `escape` made `token` from; raises ValueError for any other token."""
    if not _SAFE_TOKEN.match(token):
        raise ValueError(f"not an escaped name: {token!r}")
    raw = re.sub(rb"%([0-9A-F]{2})", lambda m: bytes((int(m[1], 16),)), token.encode())
    name = raw.decode()
    if escape(name) != token:
        raise ValueError(f"not the canonical escape of a name: {token!r}")
    return name


def own_scope(cluster: str) -> str:
    """Return the scope of what is meant for one cluster."""
    return f"c.{cluster}"


def scope_filter(scope: str) -> str:
    """Return the filter of everything in a scope."""
    return f"{ROOT}.ev.{scope}.>"


def event(scope: str, category: str, kind: str, name: str) -> str:
    """Return the subject of an object, a record or a control instruction."""
    return f"{ROOT}.ev.{scope}.{category}.{kind}.{escape(name)}"


def control(cluster: str, what: str) -> str:
    """Return the subject of an instruction to one cluster."""
    return event(own_scope(cluster), CONTROL, what, "-")


def parse(subject: str) -> Address:
    """Return what an event's subject names.

    Raises InvalidEvent with `SUBJECT_UNKNOWN` for anything the grammar above does not have.
    """
    scope: str
    match subject.split("."):
        case ["fed", "v1", "ev", ("all" | "m") as shared, category, kind, name]:
            scope = shared
        case ["fed", "v1", "ev", "c", cluster, category, kind, name] if _SAFE_TOKEN.match(cluster):
            scope = own_scope(cluster)
        case ["fed", "v1", "ev", ("scans" | "m-scans") as shared, category, kind, name]:
            scope = shared
        case _:
            raise InvalidEvent(f"no event has the subject {subject!r}", code="SUBJECT_UNKNOWN")
    categories = _SCAN_CATEGORIES if scope in SCAN_SCOPES else _CATEGORIES
    if category not in categories or not _SAFE_TOKEN.match(kind):
        raise InvalidEvent(f"no event has the subject {subject!r}", code="SUBJECT_UNKNOWN")
    try:
        return Address(scope, category, kind, unescape(name))
    except (ValueError, UnicodeDecodeError) as error:
        raise InvalidEvent(str(error), code="SUBJECT_UNKNOWN") from error


def up(cluster: str, what: str) -> str:
    """Return the subject on which a cluster sends `what` (hb, renew, leave, report) to the master."""
    return f"{ROOT}.up.{cluster}.{what}"


def rpc(cluster: str) -> str:
    """Return the subject on which the master asks a cluster."""
    return f"{ROOT}.rpc.{cluster}"


def sender(subject: str) -> str:
    """Return the cluster id or token id that a message below `up` or `join` came from.

    Permissions pin the subject, so this is the only thing to believe about who sent a message.
    Raises ValueError for other subjects.
    """
    match subject.split("."):
        case ["fed", "v1", "up", cluster, _]:
            return cluster
        case ["fed", "v1", "join", token]:
            return token
        case _:
            raise ValueError(f"nobody sends on {subject!r}")


def join(token_id: str) -> str:
    """Return the subject on which a join token may be redeemed."""
    return f"{ROOT}.join.{token_id}"


def audit(category: str) -> str:
    """Return the subject of audit records of one category."""
    return f"{ROOT}.audit.{category}"


def matches(pattern: str, subject: str) -> bool:
    """Tell whether a NATS pattern (`*` one token, `>` the rest) covers a subject."""
    wanted, given = pattern.split("."), subject.split(".")
    for i, part in enumerate(wanted):
        if part == ">":
            return len(given) > i
        if i >= len(given) or part not in ("*", given[i]):
            return False
    return len(wanted) == len(given)
