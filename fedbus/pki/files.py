"""Private files: written whole or not at all, readable by their owner alone.

A reader never sees half a file, and a power cut leaves the old one or the new one: the content goes
to a temporary file beside the target, is synced, takes the target's name, and the directory is synced.
"""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fedbus.errors import ConfigError

DIRECTORY_MODE = 0o700


def make_directory(path: Path) -> Path:
    """Make a directory, and its parents, that only its owner may enter; tighten it if it exists."""
    path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    path.chmod(DIRECTORY_MODE)
    return path


def write(path: Path, content: bytes | str) -> None:
    """Replace a file by this content atomically, mode 0600. Raises OSError; the old one then stands."""
    data = content.encode() if isinstance(content, str) else content
    # mkstemp opens with 0600, so the content is never readable by others, not even for a moment
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make renames and new names in a directory survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a data directory for one daemon. Raises ConfigError while another one holds it."""
    with (make_directory(directory) / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"another fedbus daemon runs on {directory}",
                code="DATA_DIRECTORY_IN_USE",
                remedy="stop it, or give this one a data directory of its own",
            ) from error
        yield
