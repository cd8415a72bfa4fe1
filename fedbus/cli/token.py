"""`fedbus token create | list | revoke`: what lets a cluster join."""

from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from fedbus.cli.output import rows, say
from fedbus.cli.session import Session, command, labels, write_new

app = typer.Typer(no_args_is_help=True, help="Join tokens: what lets a cluster join this master.")


@command(app)
async def create(
    session: Session,
    *,
    duration: Annotated[int, typer.Option(min=1, max=1440, help="Minutes until it expires.")] = 60,
    uses: Annotated[int, typer.Option(min=1, max=100, help="How many clusters may join with it.")] = 1,
    cluster: Annotated[str, typer.Option(help="The only cluster name it is good for.")] = "",
    label: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Given to who joins; can be repeated.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it to this new file.")] = None,
) -> None:
    """Make a join token. It is printed once and kept by nobody: `fedbus token create > token`."""
    made = await session.api.post(
        "/v1/fed/join_token",
        {"duration_minutes": duration, "uses": uses, "cluster_name": cluster, "labels": labels(label or [])},
    )
    token = str(made["join_token"])
    if out is not None:
        write_new(out, token)
        made["join_token"] = f"in {out}"
    about = f"Token {made.get('id')} for {made.get('uses')} use(s), until {made.get('expires_at')}"

    def table() -> None:
        say(about + (f", in {out}" if out else ""))
        if out is None:
            typer.echo(token)

    session.emit(made, table)


@command(app, "list")
async def list_tokens(session: Session) -> None:
    """List the join tokens, without the tokens themselves."""
    found = await session.api.get("/v1/fed/join_tokens")
    tokens = found.get("tokens")
    columns = [
        ("ID", lambda token: token.get("id")),
        ("STATE", lambda token: token.get("state")),
        ("USES", lambda token: f"{token.get('uses', 0)}/{token.get('max_uses', 1)}"),
        ("EXPIRES", lambda token: token.get("expires_at")),
        ("CLUSTER", lambda token: token.get("cluster_name")),
        ("LABELS", lambda token: token.get("labels") or None),
        ("CREATED", lambda token: token.get("created_at")),
        ("BY", lambda token: token.get("created_by")),
    ]
    session.emit(found, lambda: rows(columns, tokens if isinstance(tokens, list) else [], empty="No tokens"))


@command(app)
async def revoke(session: Session, token_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Revoke a join token; clusters that joined with it stay."""
    done = await session.api.call("DELETE", f"/v1/fed/join_token/{quote(token_id, safe='')}")
    session.emit(done, lambda: say(f"Token {token_id} is revoked"))
