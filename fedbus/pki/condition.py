"""The state of a data directory, for a diagnosis: is it there, is it private, is there room."""

import errno
import shutil
from collections.abc import Iterable
from pathlib import Path

from fedbus.core import connectivity
from fedbus.pki import files

_OTHERS = 0o077
MEGABYTE = 1024 * 1024


def check_private(directory: Path, secrets: Iterable[Path]) -> str:
    """Look whether a data directory is there and its secrets are readable to their owner alone.

    Raises FedbusError: DATA_DIRECTORY_MISSING, FILES_EXPOSED, FILES_UNREADABLE.
    """
    if not directory.is_dir():
        raise connectivity.error("DATA_DIRECTORY_MISSING", f"there is no directory {directory}")
    count = 0
    for secret in (directory, *secrets):
        try:
            mode = secret.stat().st_mode
            if secret.is_file():
                secret.open("rb").close()
        except OSError as error:
            unreadable = f"{secret} cannot be read: {error.strerror}"
            raise connectivity.error("FILES_UNREADABLE", unreadable) from error
        if mode & _OTHERS:
            raise connectivity.error("FILES_EXPOSED", f"others than its owner may use {secret}")
        count += 1
    return f"{directory} and what is secret in it belong to their owner alone ({count} looked at)"


def check_disk(directory: Path, min_free_mb: int) -> str:
    """Look whether there is room and whether it can be written. Raises FedbusError: DISK_*.

    A directory that is not there yet is judged by the nearest one above it that is; nothing is written.
    """
    there = next((d for d in (directory, *directory.parents) if d.is_dir()), Path("/"))
    free = shutil.disk_usage(there).free // MEGABYTE
    if free < min_free_mb:
        low = f"{free} MB are free in {there}; it should be {min_free_mb}"
        raise connectivity.error("DISK_LOW", low)
    if there == directory:
        _try_to_write(directory / "doctor-probe")
    return f"{free} MB are free in {there}"


def _try_to_write(probe: Path) -> None:
    try:
        files.write(probe, b"x" * 4096)
        probe.unlink()
    except OSError as error:
        code = "DISK_LOW" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "DISK_UNWRITABLE"
        raise connectivity.error(code, f"{probe.parent} cannot be written: {error.strerror}") from error
