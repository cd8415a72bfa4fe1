"""What an image's configuration says: who it runs as, its environment, its commands, its platform."""

from collections.abc import Iterable, Sequence

import msgspec

from fedbus.core.scan import secrets
from fedbus.core.scan.values import cut, moment, size
from fedbus.model.scan import Layer

_SHELL = ("/bin/sh -c #(nop) ", "/bin/sh -c ")


class Config(msgspec.Struct, frozen=True, gc=False):
    """The part of an image's configuration that a container starts with."""

    user: str | None = msgspec.field(name="User", default=None)
    env: list[str] | None = msgspec.field(name="Env", default=None)
    labels: dict[str, str] | None = msgspec.field(name="Labels", default=None)


class History(msgspec.Struct, frozen=True, gc=False):
    """How one layer came to be."""

    created_by: str | None = None
    empty_layer: bool | None = None


class ImageConfig(msgspec.Struct, frozen=True, gc=False):
    """An image's configuration, as the image specification has it."""

    architecture: str | None = None
    os: str | None = None
    variant: str | None = None
    author: str | None = None
    created: str | None = None
    config: Config | None = None
    history: list[History] | None = None

    @property
    def created_at(self) -> float:
        """When the image was made, Unix seconds."""
        return moment(self.created)

    @property
    def platform(self) -> str:
        """Such as `linux/arm64/v8`."""
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    @property
    def run_as_root(self) -> bool:
        """Whether containers run as root; False where the configuration does not say anything."""
        return (
            self.config is not None and bool(self.history or self.architecture) and is_root(self.config.user)
        )

    @property
    def envs(self) -> tuple[str, ...]:
        """The environment, secrets masked."""
        return envs(self.config.env if self.config else None)

    @property
    def labels(self) -> dict[str, str]:
        """The labels, secrets masked."""
        return labels(self.config.labels if self.config else None)

    @property
    def cmds(self) -> tuple[str, ...]:
        """The commands that made it, the newest first."""
        return tuple(command(one.created_by) for one in reversed(self.history or ()))

    @property
    def layer_cmds(self) -> list[str]:
        """The commands of those layers that are not empty, the newest first."""
        return [command(one.created_by) for one in reversed(self.history or ()) if not one.empty_layer]


def is_root(user: str | None) -> bool:
    """Tell whether `user`, `user:group` or `uid:gid` is root; nobody named is root."""
    return (user or "").partition(":")[0].strip() in ("", "root", "0")


def root_by_cmds(cmds: Iterable[str]) -> bool:
    """Tell by the commands, the newest first, whether the image runs as root, as NeuVector does."""
    for cmd in cmds:
        word, _, user = cmd.strip().partition(" ")
        if word.upper() == "USER":
            return is_root(user.strip().strip("[]\"'"))
    return True


def command(text: str | None) -> str:
    """Return a command of the history without its shell, secrets masked."""
    found = cut(text).strip()
    for prefix in _SHELL:
        found = found.removeprefix(prefix)
    return secrets.redacted(found.strip())


def envs(given: Iterable[str] | None) -> tuple[str, ...]:
    """Return an environment with its secrets masked."""
    return tuple(secrets.env(cut(one)) for one in given or () if one)


def labels(given: dict[str, str] | None) -> dict[str, str]:
    """Return labels with their secrets masked."""
    return {cut(key, 512): secrets.redacted(cut(value)) for key, value in (given or {}).items()}


def layers(
    given: Sequence[tuple[str, int | None, tuple[str, ...]]], cmds: Sequence[str] = ()
) -> tuple[Layer, ...]:
    """Return layers the newest first, from (digest, size, vulnerabilities) the oldest first.

    `cmds` are theirs, the newest first; where their numbers differ they are left out.
    """
    said = cmds if len(cmds) == len(given) else [""] * len(given)
    return tuple(
        Layer(digest=cut(digest, 255), size=size(length), vulnerabilities=names, cmds=cmd)
        for (digest, length, names), cmd in zip(reversed(given), said, strict=True)
        if digest
    )
