"""Private files: whole, private, or as they were."""

import os
import stat
from pathlib import Path

import pytest

from fedbus.pki import files


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_its_owners_alone_whatever_the_umask_and_its_mode_before(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)
    umask = os.umask(0)
    try:
        files.write(path, "new")
    finally:
        os.umask(umask)

    assert path.read_text() == "new"
    assert mode(path) == 0o600


def test_a_write_that_fails_leaves_the_old_content_and_no_debris(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "secret"
    files.write(path, b"old")

    def disk_full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(OSError, match="No space"):
        files.write(path, b"new")

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_is_made_private_also_when_it_was_not(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    (tmp_path / "a").mkdir(mode=0o755)

    assert mode(files.make_directory(path)) == 0o700
    path.chmod(0o755)
    assert mode(files.make_directory(path)) == 0o700
