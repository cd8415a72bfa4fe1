"""OpenVEX documents: statements about vulnerabilities of products."""

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from fedbus.core.scan.values import cut, moment
from fedbus.core.scan.vex import Statement, Statements
from fedbus.model.scan import Vex
from fedbus.scan.importers.reading import decode, refusal

MAX_STATEMENTS = 200_000
"""Statements, counted once for each product and part that they are about."""


class _Struct(msgspec.Struct, frozen=True, gc=False):
    pass


class _Identifiers(_Struct, frozen=True):
    purl: str | None = None


class _Component(_Struct, frozen=True):
    id: str | None = msgspec.field(name="@id", default=None)
    identifiers: _Identifiers | None = None


class _Product(_Struct, frozen=True):
    id: str | None = msgspec.field(name="@id", default=None)
    identifiers: _Identifiers | None = None
    subcomponents: list[_Component | str] | None = None


class _Vulnerability(_Struct, frozen=True):
    id: str | None = msgspec.field(name="@id", default=None)
    name: str | None = None
    aliases: list[str] | None = None


class _Statement(_Struct, frozen=True):
    status: Literal["not_affected", "affected", "fixed", "under_investigation"]
    vulnerability: _Vulnerability | str | None = None
    products: list[_Product | str] | None = None
    justification: str | None = None
    impact_statement: str | None = None
    action_statement: str | None = None
    status_notes: str | None = None
    timestamp: str | None = None
    last_updated: str | None = None


class _Document(_Struct, frozen=True):
    author: str | None = None
    timestamp: str | None = None
    last_updated: str | None = None
    statements: list[_Statement] | None = None


def read(documents: Iterable[bytes | msgspec.Raw]) -> Statements:
    """Read documents; of several statements the latest counts, whichever document it is in.

    Raises InvalidInput with the place of what cannot be read.
    """
    found: list[Statement] = []
    for index, raw in enumerate(documents):
        for statement in _of_document(decode(raw, _Document, f"$.vex[{index}]")):
            found.append(statement)
            if len(found) > MAX_STATEMENTS:
                raise refusal(f"$.vex[{index}]", f"more than {MAX_STATEMENTS} statements")
    return Statements(found)


def _of_document(document: _Document) -> Iterator[Statement]:
    since = moment(document.last_updated) or moment(document.timestamp)
    for one in document.statements or ():
        at = moment(one.last_updated) or moment(one.timestamp) or since
        vex = Vex(
            status=one.status,
            justification=cut(one.justification, 255),
            statement=cut(one.impact_statement or one.action_statement or one.status_notes),
            author=cut(document.author, 255),
            timestamp=int(at),
        )
        names = _names(one.vulnerability)
        for product in one.products or ():
            part = product if isinstance(product, _Product) else _Product(id=product)
            for below in part.subcomponents or [""]:
                yield Statement(names, _id(part), below if isinstance(below, str) else _id(below), vex, at)


def _names(given: _Vulnerability | str | None) -> tuple[str, ...]:
    if given is None or isinstance(given, str):
        return (given,) if given else ()
    own = given.name or (given.id or "").rstrip("/").rpartition("/")[2]
    return tuple(dict.fromkeys(one for one in (own, *(given.aliases or ())) if one))


def _id(given: _Product | _Component) -> str:
    return (given.identifiers.purl if given.identifiers else None) or given.id or ""
