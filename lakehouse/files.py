"""Files that are written whole or not at all, and JSON files that say so when they are damaged."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from lakehouse.errors import DataError

CHECKSUM: Final = "sha256"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside ``path`` to write; at the end it takes the place of ``path`` (see ``put``).

    Where the block raises, the old file stays and nothing is left of the new one.
    """
    with _beside(path) as new:
        yield new
        put(new, path)


def put(new: Path, path: Path) -> None:
    """Rename ``new`` to ``path`` in its folder, in one step and both on the disk for certain."""
    sync(new)
    new.replace(path)
    sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` so that a reader sees the old file or the new one, whole."""
    with replacing(path) as new:
        new.write_text(text, encoding="utf-8")


def write_new_text(path: Path, text: str) -> None:
    """Write ``text`` whole to ``path``; raise ``FileExistsError`` where there is a file."""
    with _beside(path) as new:
        new.write_text(text, encoding="utf-8")
        sync(new)
        path.hardlink_to(new)


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write ``content`` as one object, together with its own checksum."""
    plain = json.loads(json.dumps(content))
    sealed = plain | {CHECKSUM: _checksum(plain)}
    write_text(path, json.dumps(sealed, indent=2, sort_keys=True) + "\n")


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """What ``write_json`` wrote, without the checksum; files from before it had one are taken.

    Raises ``DataError`` naming the file and the remedy where the content is another.
    """
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path} is damaged: it is no JSON. {remedy}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} is damaged: it is no JSON object. {remedy}")
    expected = content.pop(CHECKSUM, None)
    if expected is not None and expected != _checksum(content):
        raise DataError(f"{path} is damaged: its checksum is another. {remedy}")
    return content


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    new = Path(name)
    try:
        yield new
    finally:
        new.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Force a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _checksum(content: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
