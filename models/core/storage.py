"""Fitted models as files: arrays in ``arrays.npz``, all else in ``model.json``, no pickle."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from lakehouse.errors import DataError
from models.core.interactions import Ids

FORMAT = 1
ARRAYS_FILE = "arrays.npz"
MODEL_FILE = "model.json"

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Stored:
    """What ``read`` found: the model's kind, its parameters and its arrays."""

    kind: str
    parameters: dict[str, Any]
    arrays: dict[str, NDArray[Any]]


def write(folder: Path, kind: str, parameters: Mapping[str, Any], arrays: Arrays) -> None:
    """Write a model into ``folder``; equal content gives equal bytes.

    ``parameters`` must be of JSON's types, ``arrays`` of plain numeric or boolean dtypes.
    """
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(f"array {name} holds Python objects; pack it first")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ARRAYS_FILE).open("wb") as file:
        np.savez(file, allow_pickle=False, **{name: arrays[name] for name in sorted(arrays)})
    description = {
        "format": FORMAT,
        "kind": kind,
        "parameters": dict(parameters),
        "arrays_sha256": _digest(folder / ARRAYS_FILE),
    }
    (folder / MODEL_FILE).write_text(
        json.dumps(description, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8"
    )


def read(folder: Path) -> Stored:
    """Read what ``write`` wrote.

    Raises ``DataError`` where a file is missing or unreadable, the format is another one, or the
    arrays are not the bytes that were written.
    """
    try:
        description = json.loads((folder / MODEL_FILE).read_text(encoding="utf-8"))
        digest = _digest(folder / ARRAYS_FILE)
    except (OSError, ValueError) as error:
        raise DataError(f"no readable model in {folder}: {error}. Train again.") from error
    if description.get("format") != FORMAT:
        raise DataError(
            f"the model in {folder} has format {description.get('format')!r}, this version reads "
            f"{FORMAT}. Train again."
        )
    if digest != description["arrays_sha256"]:
        raise DataError(
            f"{folder / ARRAYS_FILE} has SHA-256 {digest}, {MODEL_FILE} says "
            f"{description['arrays_sha256']}: the file was damaged. Train again or restore it."
        )
    with np.load(folder / ARRAYS_FILE, allow_pickle=False) as arrays:
        return Stored(description["kind"], description["parameters"], dict(arrays.items()))


def pack_ids(name: str, ids: Ids) -> dict[str, NDArray[Any]]:
    """Ids as two plain arrays: their UTF-8 bytes one after the other, and each one's end."""
    encoded = [identifier.encode("utf-8", "surrogatepass") for identifier in ids]
    lengths = np.fromiter((len(entry) for entry in encoded), dtype=np.int64, count=len(encoded))
    return {
        f"{name}_bytes": np.frombuffer(b"".join(encoded), dtype=np.uint8),
        f"{name}_ends": np.cumsum(lengths),
    }


def unpack_ids(name: str, arrays: Arrays) -> Ids:
    """The inverse of ``pack_ids``."""
    content = arrays[f"{name}_bytes"].tobytes()
    ends = arrays[f"{name}_ends"].tolist()
    starts = [0, *ends[:-1]]
    return np.array(
        [
            content[start:end].decode("utf-8", "surrogatepass")
            for start, end in zip(starts, ends, strict=True)
        ],
        dtype=object,
    )


def pack_matrix(name: str, matrix: sparse.csr_array) -> dict[str, NDArray[Any]]:
    """A sparse matrix as four plain arrays."""
    return {
        f"{name}_data": matrix.data,
        f"{name}_indices": matrix.indices,
        f"{name}_indptr": matrix.indptr,
        f"{name}_shape": np.array(matrix.shape, dtype=np.int64),
    }


def unpack_matrix(name: str, arrays: Arrays) -> sparse.csr_array:
    """The inverse of ``pack_matrix``."""
    return sparse.csr_array(
        (arrays[f"{name}_data"], arrays[f"{name}_indices"], arrays[f"{name}_indptr"]),
        shape=tuple(arrays[f"{name}_shape"].tolist()),
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
