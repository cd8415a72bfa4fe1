"""`fedbus inventory show | images`: what runs in one cluster."""

from typing import Annotated

import typer

from fedbus.cli.output import facts, rows
from fedbus.cli.session import Session, command

app = typer.Typer(no_args_is_help=True, help="What runs in one cluster, as its Kubernetes API says.")


@command(app)
async def show(session: Session) -> None:
    """Show the cluster in numbers, what of it cannot be read, and service accounts with risky roles."""
    found = await session.api.get("/v1/inventory")
    counts = found.get("counts")
    known = counts if isinstance(counts, dict) else {}
    shown = {name.replace("_", " "): value for name, value in known.items()}
    about = {"cannot be read": found.get("errors"), "risky accounts": found.get("risky_service_accounts")}
    session.emit(found, lambda: facts(shown | about))


@command(app)
async def images(
    session: Session,
    unscanned: Annotated[bool, typer.Option(help="Only those that no scan is held of.")] = False,
) -> None:
    """List the images that run."""
    found = await session.api.get("/v1/inventory/images", unscanned=str(unscanned).lower())
    columns = [
        ("IMAGE", lambda one: one.get("image")),
        ("DIGEST", lambda one: str(one.get("digest"))[:19]),
        ("PODS", lambda one: one.get("pods")),
        ("NAMESPACES", lambda one: one.get("namespaces")),
    ]
    listed = found.get("images")
    session.emit(found, lambda: rows(columns, listed if isinstance(listed, list) else [], empty="No images"))
