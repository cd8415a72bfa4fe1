"""`fedbus cluster list | show | label | remove | sync`: the members of the federation."""

from typing import Annotated
from urllib.parse import quote

import msgspec
import typer

from fedbus.cli.errors import CliError
from fedbus.cli.exit_codes import ExitCode
from fedbus.cli.output import facts, rows, say, text
from fedbus.cli.session import Session, command, confirm, labels

app = typer.Typer(no_args_is_help=True, help="The clusters of the federation.")

Named = Annotated[str, typer.Argument(metavar="CLUSTER", help="The cluster's name or id.")]


@command(app, "list")
async def list_clusters(session: Session) -> None:
    """List the clusters that joined."""
    found = await session.api.get("/v1/fed/member")
    columns = [
        ("NAME", lambda cluster: cluster.get("name")),
        ("ID", lambda cluster: cluster.get("id")),
        ("STATUS", lambda cluster: cluster.get("status")),
        ("LABELS", lambda cluster: cluster.get("labels") or None),
        ("JOINED", lambda cluster: cluster.get("joined_at")),
    ]
    session.emit(found, lambda: rows(columns, _joined(found), empty="No cluster has joined"))


@command(app)
async def show(session: Session, cluster: Named) -> None:
    """Show everything known of one cluster."""
    found = await session.api.get(f"/v1/fed/cluster/{quote(await _id_of(session, cluster), safe='')}")
    session.emit(found, lambda: facts({key.replace("_", " "): value for key, value in found.items()}))


@command(app)
async def label(
    session: Session,
    cluster: Named,
    changes: Annotated[
        list[str], typer.Argument(metavar="KEY=VALUE|KEY-...", help="Labels to set; KEY- takes one away.")
    ],
) -> None:
    """Change a cluster's labels, and with them the policy that it has by selectors."""
    gone = {one.removesuffix("-"): None for one in changes if one.endswith("-") and "=" not in one}
    kept = labels([one for one in changes if "=" in one or not one.endswith("-")])
    found = quote(await _id_of(session, cluster), safe="")
    raw = msgspec.json.encode({"labels": kept | gone})
    done = await session.api.call("PATCH", f"/v1/fed/cluster/{found}", raw=raw)
    session.emit(done, lambda: say(f"{cluster} has the labels {text(done.get('labels') or None)}"))


@command(app)
async def remove(
    session: Session,
    cluster: Named,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove a cluster: it is cut off at once and drops its federated policy."""
    found = await _id_of(session, cluster)
    confirm(f"Remove the cluster {cluster} from the federation?", yes=yes)
    done = await session.api.call("DELETE", f"/v1/fed/cluster/{quote(found, safe='')}")
    session.emit(done, lambda: say(f"{cluster} is removed"))


@command(app)
async def sync(
    session: Session,
    clusters: Annotated[list[str] | None, typer.Argument(metavar="CLUSTER...")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every cluster.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Read everything again, not from the position.")
    ] = False,
) -> None:
    """Tell clusters to compare themselves with the master, and repair what differs."""
    if bool(clusters) == every:
        raise CliError("Name the clusters, or give --all", code=ExitCode.USAGE)
    known = _joined(await session.api.get("/v1/fed/member"))
    ids = [str(one["id"]) for one in known] if every else [_find(known, one) for one in clusters or []]
    done = await session.api.post("/v1/fed/deploy", {"ids": ids, "force": force})
    results = done.get("results")
    failed = {key for key, code in results.items() if code} if isinstance(results, dict) else set()
    session.emit(done, lambda: say(f"{len(ids) - len(failed)} of {len(ids)} clusters were told"))
    if failed:
        raise CliError(f"Not told: {', '.join(sorted(_reasons(failed, done.get('errors'))))}")


def _reasons(failed: set[str], errors: object) -> list[str]:
    found = errors if isinstance(errors, dict) else {}
    return [f"{one} ({found[one]['message']})" if one in found else one for one in failed]


async def _id_of(session: Session, name: str) -> str:
    return _find(_joined(await session.api.get("/v1/fed/member")), name)


def _find(known: list[dict[str, object]], name: str) -> str:
    for field in ("id", "name"):
        for cluster in known:
            if cluster.get(field) == name:
                return str(cluster["id"])
    raise CliError(
        f"There is no cluster {name!r}", remedy="See `fedbus cluster list`", code=ExitCode.NOT_FOUND
    )


def _joined(member: dict[str, object]) -> list[dict[str, object]]:
    found = member.get("joint_clusters")
    return found if isinstance(found, list) else []
