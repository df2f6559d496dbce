"""Files that are written whole or not at all, and JSON files that say so when they are damaged."""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from lakehouse.errors import DataError

CHECKSUM: Final = "sha256"


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` so that a reader sees the old file or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    Path(name).replace(path)


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


def _checksum(content: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
