"""Users and items as sparse rows of one-hot attributes."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class OneHot:
    """Rows x attribute values, 1 where the row has the value; ``names`` is ``column=value``."""

    matrix: sparse.csr_array
    names: tuple[str, ...]


def one_hot(frame: pd.DataFrame, columns: Sequence[str]) -> OneHot:
    """One attribute per value of ``columns``.

    A column may hold text, numbers that are classes, or lists of text (each element counts). Nulls
    give no attribute. Columns that the frame lacks are left out, so that one configuration fits
    sources that differ. Names are sorted within their column.
    """
    parts: list[sparse.csr_array] = []
    names: list[str] = []
    for column in columns:
        if column not in frame:
            continue
        values = _values(frame, column)
        codes, found = pd.factorize(values, sort=True)
        rows = values.index.to_numpy()
        part: Any = sparse.csr_array(
            (np.ones(len(rows)), (rows, codes)), shape=(len(frame), len(found))
        )
        part.data[:] = 1
        parts.append(part)
        names.extend(f"{column}={value}" for value in found)
    if not parts:
        return OneHot(sparse.csr_array((len(frame), 0)), ())
    return OneHot(sparse.csr_array(sparse.hstack(parts, format="csr")), tuple(names))


def digest(frame: pd.DataFrame, columns: Sequence[str]) -> str:
    """SHA-256 of the rows of ``frame`` as ``one_hot`` sees ``columns``."""
    found = sha256(f"{len(frame)}".encode())
    for column in columns:
        if column in frame:
            found.update(f" {column} ".encode())
            found.update(pd.util.hash_pandas_object(_values(frame, column)).to_numpy().data)
    return found.hexdigest()


def _values(frame: pd.DataFrame, column: str) -> "pd.Series[str]":
    """Each value of a column as text, under its row's number; a row may have none or several."""
    values: pd.Series[str] = frame[column].reset_index(drop=True).explode().dropna().astype(str)
    return values


def unit_rows(matrix: sparse.csr_array) -> sparse.csr_array:
    """Each row divided by its Euclidean length; empty rows stay empty."""
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return scale_rows(matrix, np.divide(1, length, out=np.zeros_like(length), where=length > 0))


def scale_rows(matrix: sparse.csr_array, factors: Floats) -> sparse.csr_array:
    """Each row times its factor."""
    return sparse.csr_array(sparse.diags_array(factors) @ matrix)


def scale_columns(matrix: sparse.csr_array, factors: Floats) -> sparse.csr_array:
    """Each column times its factor."""
    return sparse.csr_array(matrix @ sparse.diags_array(factors))


def quantile_bands(values: pd.Series, bands: int) -> pd.Series:
    """Bands of about equal size from 1 (lowest), equal values in the same one; null stays null."""
    share = values.rank(method="average", pct=True)
    return pd.Series(np.ceil(share * bands), index=values.index).astype("Int64")


def with_identity(attributes: sparse.csr_array, share: float) -> sparse.csr_array:
    """A column of its own for each row, then the attributes; each row sums to 1.

    The attributes of a row have ``share`` of its weight, in equal parts, its identity the rest; a
    row without attributes is its identity alone.
    """
    count = np.diff(attributes.indptr)
    weighted = scale_rows(
        attributes, np.divide(share, count, out=np.zeros(len(count)), where=count > 0)
    )
    identity = sparse.diags_array(np.where(count > 0, 1 - share, 1.0))
    return sparse.csr_array(sparse.hstack([identity, weighted], format="csr"))
