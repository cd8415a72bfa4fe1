"""`fedbus policy preview -f FILE`: what a change would deny of what runs, before it is published."""

import msgspec
import typer

from fedbus.cli import policy
from fedbus.cli.output import Column, rows, say
from fedbus.cli.policy import FileOption
from fedbus.cli.session import Session, command
from fedbus.model.assessment import ClusterPreview, PolicyPreview

_DAY = 86_400.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app)(preview)


async def preview(session: Session, file: FileOption) -> None:
    """Show which workloads that run documents would deny, and which they would deny no more.

    Of every cluster the last inventory counts, also of one that is offline. Nothing is changed.
    """
    answer = await policy.send(session, file, path="/v1/fed/preview")
    found = msgspec.convert(answer, PolicyPreview)
    session.emit(found, lambda: _show(found))


def _show(found: PolicyPreview) -> None:
    rows(_CLUSTERS, [_row(one) for one in found.clusters])
    lines = [
        {"cluster": one.name, **msgspec.structs.asdict(affected)}
        for one in found.clusters
        for affected in one.affected
    ]
    if lines:
        typer.echo()
        rows(_AFFECTED, lines)
    hidden = sum(_changed(one) - len(one.affected) for one in found.clusters)
    if hidden > 0:
        say(f"and {hidden} more workloads")
    for text in found.unknown:
        say(f"Not known: {text}")
    for one in found.clusters:
        for text in one.unknown:
            say(f"Not known of {one.name}: {text}")
        if not one.complete:
            say(f"{one.name}: there was not enough time for all of its workloads")


def _changed(one: ClusterPreview) -> int:
    """Return how many workloads have another outcome: every one of them is in one of the lists."""
    return max(one.denied + one.reported, one.no_longer_denied, len(one.affected))


def _row(one: ClusterPreview) -> dict[str, object]:
    return msgspec.structs.asdict(one) | {
        "age": _age(one.age_seconds),
        "control": "?" if one.enable is None else f"{'on' if one.enable else 'off'}, {one.mode}",
        "by": {
            space.namespace: f"{space.denied}/{space.reported}/{space.no_longer_denied}"
            for space in one.namespaces
        },
    }


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "no inventory"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 2 * 3600 else f"{seconds / _DAY:.1f} days"


_CLUSTERS: list[Column] = [
    ("CLUSTER", lambda one: one.get("name")),
    ("INVENTORY", lambda one: one.get("age")),
    ("CONTROL", lambda one: one.get("control")),
    ("WORKLOADS", lambda one: one.get("workloads")),
    ("NO SCAN", lambda one: one.get("unscanned")),
    ("LEFT OUT", lambda one: one.get("left_out")),
    ("DENIED", lambda one: one.get("denied")),
    ("REPORTED", lambda one: one.get("reported")),
    ("NO LONGER", lambda one: one.get("no_longer_denied")),
    ("BY NAMESPACE", lambda one: one.get("by")),
]
_AFFECTED: list[Column] = [
    ("CLUSTER", lambda one: one.get("cluster")),
    ("NAMESPACE", lambda one: one.get("namespace")),
    ("KIND", lambda one: one.get("kind")),
    ("NAME", lambda one: one.get("name")),
    ("NOW", lambda one: one.get("before")),
    ("THEN", lambda one: one.get("after")),
    ("RULE", lambda one: one.get("rule")),
    ("WHY", lambda one: one.get("message")),
]
