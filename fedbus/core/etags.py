"""Entity tags of objects and lists, and the conditions of a request (RFC 9110, section 13)."""

from collections.abc import Iterable
from hashlib import sha256

from fedbus.errors import Conflict
from fedbus.model.objects import StoredObject

ANY = "*"


def of(stored: StoredObject) -> str:
    """Return the tag of one object; a revision is counted where the object is, a version is not."""
    return tag(stored.epoch, stored.version)


def tag(epoch: int, version: int) -> str:
    """Return the tag of an object that a changeset left."""
    return f'"{epoch}.{version}"'


def of_all(stored: Iterable[StoredObject]) -> str:
    """Return the tag of a list: another one whenever an object comes, goes or changes."""
    lines = sorted(f"{s.kind}/{s.name}/{s.epoch}.{s.version}" for s in stored)
    digest = sha256("\n".join(lines).encode()).hexdigest()
    return f'"{digest[:24]}"'


def matches(header: str, current: str | None, *, weak: bool = False) -> bool:
    """Tell whether a list of tags, or `*`, covers a tag; None is what does not exist."""
    if current is None:
        return False
    given = [part.strip() for part in header.split(",")]
    if weak:
        given = [part.removeprefix("W/") for part in given]
    return ANY in given or current in given


def require(if_match: str, current: str | None, revision: int | None = None) -> None:
    """Raise Conflict (412) unless the state is one that the header `If-Match` names; empty is any."""
    if if_match and not matches(if_match, current):
        raise Conflict(
            f"The state is {current or 'gone'}, the request expects {if_match[:200]!a}",
            code="PRECONDITION_FAILED",
            current_revision=revision,
            remedy="Read it again and repeat the change on it",
        )
