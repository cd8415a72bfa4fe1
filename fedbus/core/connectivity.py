"""What can go wrong between a daemon and its federation: one table of codes, steps and remedies.

Sessions on the bus, the status of a worker and `fedbus doctor` all speak by this table, so that a code
in a log, in an answer and in a diagnosis means the same and asks for the same. A *step* is one thing
that must work before the next one can; its number is doctor's exit code.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

from fedbus.errors import FedbusError, Refused, Unavailable


class Step(IntEnum):
    """What is looked at, in order; the value is the exit code when it is the first to fail. Never changed."""

    FILES = 20  # the data directory and what is in it
    TOKEN = 21  # a join token
    NAME = 22  # name resolution
    TCP = 23
    TLS = 24  # the handshake, and the CA that was pinned
    CREDENTIAL = 25  # the login on the bus
    PERMISSIONS = 26
    STREAM = 27
    CONSUMER = 28
    MASTER = 29  # whether the master answers, and what
    CLOCK = 30
    VERSION = 31
    DISK = 32

    @property
    def title(self) -> str:
        """What is tested, in words."""
        return _TITLES[self]


_TITLES: Mapping[Step, str] = {
    Step.FILES: "files",
    Step.TOKEN: "join token",
    Step.NAME: "name resolution",
    Step.TCP: "TCP",
    Step.TLS: "TLS and pin",
    Step.CREDENTIAL: "credential",
    Step.PERMISSIONS: "permissions",
    Step.STREAM: "stream",
    Step.CONSUMER: "consumer",
    Step.MASTER: "master",
    Step.CLOCK: "clock",
    Step.VERSION: "version",
    Step.DISK: "disk",
}


class Cause(NamedTuple):
    """A code's step and remedy; `refused` when the other side said no, as opposed to being away."""

    step: Step
    remedy: str
    refused: bool = False


_NEW_TOKEN = "ask a federated admin for a new token"  # noqa: S105 - a sentence
_REJOIN = "leave with --force, and join again with a new token"
_START = "check that the master runs and that its federation port is reachable from here"

TABLE: Mapping[str, Cause] = {
    "DATA_DIRECTORY_MISSING": Cause(Step.FILES, "give the daemon's data directory with --data-dir DIR"),
    "FILES_EXPOSED": Cause(Step.FILES, "take away everybody else's rights: chmod go= on what is named"),
    "FILES_DAMAGED": Cause(Step.FILES, "restore them from a backup; a worker can also leave and join again"),
    "FILES_UNREADABLE": Cause(Step.FILES, "run this as the user the daemon runs as"),
    "CREDENTIALS_MISSING": Cause(Step.FILES, _REJOIN),
    "TOKEN_FILE_UNREADABLE": Cause(Step.FILES, "put the token where join_token_file says, readable here"),
    "NOT_JOINED": Cause(Step.FILES, "join first, or test a token with --token-file FILE"),
    "NOT_PROMOTED": Cause(Step.FILES, "promote it first"),
    "TOKEN_GARBLED": Cause(Step.TOKEN, "copy the whole token again, or ask for a new one", refused=True),
    "TOKEN_EXPIRED": Cause(Step.TOKEN, _NEW_TOKEN, refused=True),
    "TOKEN_USED": Cause(Step.TOKEN, _NEW_TOKEN, refused=True),
    "TOKEN_REVOKED": Cause(Step.TOKEN, _NEW_TOKEN, refused=True),
    "TOKEN_UNKNOWN": Cause(Step.TOKEN, _NEW_TOKEN, refused=True),
    "TOKEN_WRONG_CLUSTER": Cause(
        Step.TOKEN, "join under that name, or ask for a token for this cluster", refused=True
    ),
    "CLUSTER_NAME_TAKEN": Cause(
        Step.TOKEN,
        "choose another name, or remove the other cluster on the master; if this is it, come back,"
        " use a token made for its name, and the cluster_uid it joined with",
        refused=True,
    ),
    "CLUSTER_LIMIT": Cause(
        Step.TOKEN, "remove a cluster on the master, or raise max_clusters in its settings", refused=True
    ),
    "NAME_UNRESOLVED": Cause(Step.NAME, "check the name and the resolver, or join with --server ADDRESS"),
    "TCP_REFUSED": Cause(Step.TCP, _START),
    "TCP_TIMEOUT": Cause(Step.TCP, f"{_START}: a firewall may drop what is sent there"),
    "TCP_UNREACHABLE": Cause(Step.TCP, _START),
    "BUS_UNREACHABLE": Cause(Step.TCP, _START),
    "TLS_PLAINTEXT": Cause(
        Step.TLS, "check the port: what answers there does not begin with TLS", refused=True
    ),
    "TLS_UNTRUSTED": Cause(
        Step.TLS,
        "check the address; if the master was set up anew, join again with a new token",
        refused=True,
    ),
    "TLS_WRONG_NAME": Cause(
        Step.TLS,
        "use the name the certificate was made for, or set advertised_server on the master",
        refused=True,
    ),
    "TLS_EXPIRED": Cause(
        Step.TLS, "check this machine's clock; the master renews its certificate at a start", refused=True
    ),
    "TLS_FAILED": Cause(Step.TLS, "check what stands between here and the master: a proxy must pass TLS on"),
    "BUS_UNAUTHORIZED": Cause(
        Step.CREDENTIAL, "the worker asks for a new credential by itself; run `fedbus doctor`", refused=True
    ),
    "CREDENTIAL_EXPIRED": Cause(
        Step.CREDENTIAL, "start the worker: it renews its credential by itself", refused=True
    ),
    "CREDENTIAL_REVOKED": Cause(
        Step.CREDENTIAL, "start the worker: the master still renews its credential", refused=True
    ),
    "CREDENTIAL_UNKNOWN": Cause(Step.CREDENTIAL, _REJOIN, refused=True),
    "CLUSTER_REMOVED": Cause(
        Step.CREDENTIAL, "ask a federated admin why; to return, join with a new token", refused=True
    ),
    "CLUSTER_LEFT": Cause(Step.CREDENTIAL, "to return, join with a new token", refused=True),
    "FEDERATION_ENDED": Cause(Step.CREDENTIAL, "join another federation with a token of it", refused=True),
    "CLUSTER_UNKNOWN": Cause(Step.CREDENTIAL, _REJOIN, refused=True),
    "SYSTEM_ACCOUNT_NEEDED": Cause(
        Step.CREDENTIAL,
        "let bus_system_credentials_file hold a user of the bus's system account",
        refused=True,
    ),
    "OPERATOR_KEY_UNTRUSTED": Cause(
        Step.CREDENTIAL,
        "have the bus's operator add the public key to its signing keys, and reload the servers",
        refused=True,
    ),
    "CLAIMS_REFUSED": Cause(
        Step.CREDENTIAL, "give the bus's servers a resolver of type full, with room for two more accounts"
    ),
    "PERMISSION_DENIED": Cause(
        Step.PERMISSIONS,
        "let the worker renew its credential; on an external bus, push the federation's account again",
        refused=True,
    ),
    "STREAM_MISSING": Cause(Step.STREAM, "start the master: it makes the streams at every start"),
    "STREAM_REFUSED": Cause(Step.STREAM, "read the bus's log: it says what it has against the stream"),
    "BUS_NO_LEADER": Cause(
        Step.STREAM, "wait: its servers choose a leader; if it lasts, start those that are away"
    ),
    "BUS_LAGS": Cause(Step.STREAM, "wait: its servers catch up; if it lasts, read their logs"),
    "BUS_TOO_SMALL": Cause(Step.STREAM, "set bus_replicas to no more than the bus has servers with room"),
    "BUS_INCOMPLETE": Cause(
        Step.STREAM, "start its servers that are away: without a majority the bus stores nothing"
    ),
    "BUS_LIMITED": Cause(Step.STREAM, "raise max_payload on the bus's servers to 1MB"),
    "JETSTREAM_OFF": Cause(Step.STREAM, "enable JetStream on the bus, for the federation's account"),
    "BUS_NOT_STORING": Cause(Step.STREAM, "free disk space on the bus, then restart it"),
    "BUS_REFUSED": Cause(Step.STREAM, "read the bus's log: it says what it has against the message"),
    "CONSUMER_REFUSED": Cause(Step.CONSUMER, "read the bus's log; a limit of the account may be reached"),
    "CONSUMER_SILENT": Cause(Step.CONSUMER, "the session begins again; if it lasts, restart the bus"),
    "CONSUMER_GONE": Cause(Step.CONSUMER, "the session begins again; if it lasts, restart the bus"),
    "MASTER_AWAY": Cause(Step.MASTER, "start the master and try again"),
    "BUS_NO_RESPONDERS": Cause(Step.MASTER, "start the master and try again"),
    "BUS_TIMEOUT": Cause(Step.MASTER, "try again; if it lasts, look at the load of master and bus"),
    "ANSWER_INVALID": Cause(Step.MASTER, "check that master and worker are of versions that fit together"),
    "SIGNATURE_INVALID": Cause(
        Step.MASTER, "find out who answers in the master's place: this is a security alert", refused=True
    ),
    "CLOCK_SKEW": Cause(Step.CLOCK, "set the clock (NTP): tokens and certificates are judged by it"),
    "PROTOCOL_UNSUPPORTED": Cause(Step.VERSION, "upgrade the older of the two", refused=True),
    "BUS_VERSION_UNSUPPORTED": Cause(Step.VERSION, "upgrade nats-server"),
    "DISK_LOW": Cause(Step.DISK, "free disk space, or set min_free_mb lower"),
    "DISK_UNWRITABLE": Cause(Step.DISK, "repair the disk or its mount, or the owner of the data directory"),
}  # fmt: skip

ENDED: Mapping[str, str] = {
    "removed": "CLUSTER_REMOVED",
    "left": "CLUSTER_LEFT",
    "demoted": "FEDERATION_ENDED",
}
"""The code of each way a membership ends."""


def error(code: str, message: str) -> FedbusError:
    """Return the error of a code: Refused if the other side said no, else Unavailable, with its remedy."""
    cause = TABLE[code]
    kind: type[FedbusError] = Refused if cause.refused else Unavailable
    return kind(message, code=code, remedy=cause.remedy)


def unavailable(code: str, message: str) -> Unavailable:
    """Return an error of a code that is about something being away."""
    return Unavailable(message, code=code, remedy=TABLE[code].remedy)


def refused(code: str, message: str) -> Refused:
    """Return an error of a code with which the other side says no."""
    return Refused(message, code=code, remedy=TABLE[code].remedy)


def remedy_of(failure: FedbusError) -> str:
    """Return what to do about an error: its own remedy, or its code's."""
    cause = TABLE.get(failure.code)
    return failure.remedy or (cause.remedy if cause else "")


def facts(failure: FedbusError) -> dict[str, str]:
    """Return an error as logs and status show it."""
    cause = TABLE.get(failure.code)
    step = {"step": cause.step.title} if cause else {}
    return {"code": failure.code, "message": failure.message, "remedy": remedy_of(failure)} | step
