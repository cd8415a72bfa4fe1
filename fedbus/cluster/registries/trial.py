"""Trying out a registry step by step, and saying which one fails."""

import asyncio
from functools import partial

import msgspec

from fedbus.cluster.registries.run import Running
from fedbus.core.registry.access import address_of, credentials_of
from fedbus.core.registry.filters import FilterError, Selection
from fedbus.errors import FedbusError
from fedbus.model.policy.registry import Registry

SECONDS = 45.0
"""How long a trial may take: somebody waits for it."""
LOOK = 20
"""How many repositories and tags are looked for: it is a trial, no scan."""


class Step(msgspec.Struct, frozen=True):
    """One step: its name, whether it went well, and what is to be said of it."""

    name: str
    ok: bool
    message: str
    remedy: str = ""


async def try_out(registry: Registry, secrets: dict[str, str], shared: Running) -> list[Step]:
    """Reach a registry, list it, read one image, and ask the scanner; end at the first that fails."""
    steps: list[Step] = []
    try:
        async with asyncio.timeout(SECONDS):
            await _steps(registry, secrets, shared, steps)
    except TimeoutError:
        steps.append(Step(_NAMES[len(steps)], ok=False, message=f"not done after {SECONDS:.0f} seconds"))
    except FedbusError as error:
        steps.append(Step(_NAMES[len(steps)], ok=False, message=error.message, remedy=error.remedy))
    except FilterError as error:
        steps.append(Step(_NAMES[len(steps)], ok=False, message=f"a filter cannot be used: {error}"))
    return steps


_NAMES = ("connection", "repositories", "tags", "image", "scanner")


async def _steps(registry: Registry, secrets: dict[str, str], shared: Running, steps: list[Step]) -> None:
    def done(message: str) -> None:
        steps.append(Step(_NAMES[len(steps)], ok=True, message=message))

    selection = Selection(registry.filters, registry.registry_type)
    address = address_of(registry)
    async with shared.connect(
        address, credentials_of(registry, secrets), not registry.ignore_proxy
    ) as client:
        await client.ping()
        done(f"{address.url} answers as a registry")
        named = selection.repositories
        if named is None:
            named = list((await client.repositories(selection.takes_repository, LOOK)).names)
        repositories = [address.repository(name) for name in named[:LOOK]]
        done(f"the filters take {', '.join(repositories) or 'no repository'}")
        pairs = []
        for name in repositories:
            tags = await client.tags(name, partial(selection.takes, name), LOOK)
            pairs += [(name, tag) for tag in tags.names]
        done(f"{len(pairs)} images are found in the first repositories")
        if pairs:
            resolved = await client.resolve(*pairs[0], shared.platforms)
            done(f"{pairs[0][0]}:{pairs[0][1]} is {resolved.images[0].digest}")
        else:
            done("there is no image to look at")
    version = (await shared.scanner.prepare(update=False)).version
    done(
        f"the vulnerability database is {version}"
        if version
        else "a scan will fetch a vulnerability database"
    )
