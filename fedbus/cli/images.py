"""`fedbus scan list | show | search | cve | results`: what the daemon that is asked knows of images."""

from functools import partial
from typing import Annotated, Any
from urllib.parse import quote

import typer

from fedbus.cli.output import Column, facts, rows, say
from fedbus.cli.session import Session, command

PATH = "/v1/scan"
LimitOption = Annotated[int, typer.Option(min=1, max=1000, help="How many to show.")]

_IMAGES: list[Column] = [
    ("REGISTRY", lambda one: one.get("registry")),
    ("IMAGE", lambda one: f"{one['repository']}:{one['tag']}"),
    ("DIGEST", lambda one: str(one["digest"])[:19]),
    ("CRITICAL", lambda one: one.get("critical")),
    ("HIGH", lambda one: one.get("high")),
    ("MEDIUM", lambda one: one.get("medium")),
    ("SCANNED", lambda one: one.get("scanned_at") or "never"),
    ("SOURCE", lambda one: one.get("source")),
]
_VULNERABILITIES: list[Column] = [
    ("NAME", lambda one: one.get("name")),
    ("SEVERITY", lambda one: one.get("severity")),
    ("SCORE", lambda one: one.get("score_v3") or one.get("score")),
    ("PACKAGE", lambda one: one.get("package_name")),
    ("VERSION", lambda one: one.get("package_version")),
    ("FIXED IN", lambda one: one.get("fixed_version")),
]


async def list_images(
    session: Session,
    registry: Annotated[str, typer.Option(help="Only this registry's, by its name here.")] = "",
    limit: LimitOption = 100,
) -> None:
    """List the images of all registries."""
    await _list(session, registry, "", limit)


async def search(
    session: Session,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What repository, tag or digest have in them.")],
    registry: Annotated[str, typer.Option(help="Only in this registry, by its name here.")] = "",
    limit: LimitOption = 100,
) -> None:
    """Search the images of all registries."""
    await _list(session, registry, text, limit)


async def _list(session: Session, registry: str, text: str, limit: int) -> None:
    path = f"{PATH}/images?limit={limit}&registry={quote(registry, safe='')}&q={quote(text, safe='')}"
    found = await session.api.get(path)
    session.emit(found, lambda: _images(found))


async def show(
    session: Session,
    image: Annotated[
        str, typer.Argument(metavar="IMAGE", help="registry/repository:tag, or @sha256:..., or an image id.")
    ],
) -> None:
    """Show the newest report of an image, whatever its source."""
    found = await session.api.get(f"{PATH}/image?{_key(image)}={quote(image.removeprefix('@'), safe='')}")
    session.emit(found, lambda: _report(found))


async def cve(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="As CVE-2026-12345.")],
    limit: LimitOption = 100,
) -> None:
    """List the images that have a vulnerability, in all registries."""
    found = await session.api.get(f"{PATH}/cve/{quote(name, safe='')}?limit={limit}")

    def table() -> None:
        total = found["total"]
        say(f"{found['cve']} is in {total} report{'' if total == 1 else 's'}")
        _images(found)

    session.emit(found, table)


async def results(session: Session) -> None:
    """Count what is held of each registry."""
    found: dict[str, Any] = await session.api.get(f"{PATH}/results")
    columns: list[Column] = [
        (title, partial(_field, title.lower()))
        for title in ("REGISTRY", "REPORTS", "IMAGES", "BYTES", "CRITICAL", "HIGH", "MEDIUM", "LOW")
    ]
    session.emit(found, lambda: rows(columns, found["registries"], empty="No results"))


def register(app: typer.Typer) -> None:
    """Add the look-ups to the commands about scans."""
    command(app, "list")(list_images)
    command(app)(search)
    command(app)(show)
    command(app)(cve)
    command(app)(results)


def _key(image: str) -> str:
    """Return what an image is looked up by."""
    if image.removeprefix("@").startswith("sha256:"):
        return "digest"
    hexadecimal = len(image) == 64 and all(c in "0123456789abcdef" for c in image)
    return "image_id" if hexadecimal else "image"


def _field(name: str, one: dict[str, object]) -> object:
    return one.get(name)


def _images(found: dict[str, Any]) -> None:
    rows(_IMAGES, found["images"], empty="No images")
    if found.get("next_cursor"):
        say("there are more")


def _report(found: dict[str, Any]) -> None:
    image = found["image"]
    facts(
        {
            "image": f"{image['repository']}:{image['tag']}",
            "digest": image["digest"],
            "registry": image["registry"],
            "base OS": image["base_os"],
            "scanned": f"{image['scanned_at']} by {image['scanner'] or 'unknown'} ({image['source']})",
            "database": " of ".join(filter(None, (image["scanner_version"], image["cvedb_create_time"]))),
        }
    )
    rows(_VULNERABILITIES, found["report"]["vulnerabilities"], empty="No vulnerabilities")
