"""Writes the JSON Schemas of `fedbus.model.schemas` to a directory, and tells when they are out of step."""

import json
from pathlib import Path

from fedbus.model.schemas import VERSION, schemas


def write(directory: Path) -> list[Path]:
    """Write every schema below `directory`, remove those of types that are gone, return the files written."""
    texts = _texts()
    for path in _found(directory):
        if path.relative_to(directory).as_posix() not in texts:
            path.unlink()
    written = []
    for name, text in texts.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def check(directory: Path) -> list[str]:
    """Return the names of schemas below `directory` that are missing, changed or too many."""
    texts = _texts()
    found = {
        path.relative_to(directory).as_posix(): path.read_text(encoding="utf-8") for path in _found(directory)
    }
    return sorted(name for name in texts.keys() | found.keys() if texts.get(name) != found.get(name))


def _found(directory: Path) -> list[Path]:
    return sorted((directory / VERSION).glob("*.json"))


def _texts() -> dict[str, str]:
    return {
        name: json.dumps(schema, indent=2, ensure_ascii=False) + "\n" for name, schema in schemas().items()
    }
