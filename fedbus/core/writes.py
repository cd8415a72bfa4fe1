"""What a write of policy is asked with and answered with, whoever keeps the policy."""

from collections.abc import Callable, Iterable

import msgspec

from fedbus.core import etags
from fedbus.core.difference import Difference
from fedbus.model.objects import StoredObject


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks for a write and why, both kept with it, and how to know the request again.

    `origin` is the address it came from: kept in the master's history and never sent to clusters.
    With an idempotency `key` the same request (`digest`) gets the same answer for a day.
    """

    actor: str = ""
    origin: str = ""
    comment: str = ""
    key: str = ""
    digest: str = ""

    @property
    def whence(self) -> str:
        """Who asks and, where that is known, from where."""
        return f"{self.actor} from {self.origin}" if self.origin else self.actor


class Changed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one change; `clusters` is how many clusters a targeted object is for now."""

    kind: str
    name: str
    op: str
    revision: int
    document: int | None
    clusters: int | None = None


class Committed(msgspec.Struct, frozen=True, kw_only=True):
    """An acknowledged changeset; `version` is the federation's after it, or the cluster's own."""

    changeset: str
    epoch: int
    version: int
    changes: list[Changed]


class Preview(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one change would do: the fields that would differ, and how many clusters it would be for."""

    kind: str
    name: str
    op: str
    revision: int
    document: int | None
    diff: list[Difference]
    clusters: int | None = None


class Condition(msgspec.Struct, frozen=True):
    """What `If-Match` asks of an object, or with an empty name of every object of a kind."""

    kind: str
    name: str = ""
    if_match: str = ""

    def require(
        self, one: Callable[[], StoredObject | None], every: Callable[[], Iterable[StoredObject]]
    ) -> None:
        """Raise Conflict (412) unless what is held is what the header names."""
        if not self.if_match:
            return
        if not self.name:
            etags.require(self.if_match, etags.of_all(every()))
        elif (stored := one()) is not None:
            etags.require(self.if_match, etags.of(stored), stored.revision)
        else:
            etags.require(self.if_match, None, 0)
