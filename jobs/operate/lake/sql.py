"""Answers to SQL over the lake, for a terminal, a spreadsheet or a program."""

import io
import json
from typing import Final

import pyarrow as pa
from pyarrow import csv
from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from jobs.config.settings import Settings
from lakehouse.io.sql import query

SHOWN_ROWS: Final = 100


def as_table(settings: Settings, statement: str) -> RenderableType:
    """The first rows of the answer for people; raises what ``sql.query`` raises."""
    rows = query(settings.paths.lake, statement)
    columns = [
        Column(
            Text(field.name), justify="right" if _is_number(field.type) else "left", overflow="fold"
        )
        for field in rows.schema
    ]
    table = Table(*columns)
    for row in rows.slice(0, SHOWN_ROWS).to_pylist():
        table.add_row(*["" if value is None else Text(str(value)) for value in row.values()])
    if rows.num_rows <= SHOWN_ROWS:
        return table
    return Group(table, f"{SHOWN_ROWS} of {rows.num_rows:,} rows; --format csv or jsonl has all")


def as_text(settings: Settings, statement: str, *, as_csv: bool) -> str:
    """All rows of the answer as CSV or JSON lines; raises what ``sql.query`` raises."""
    rows = query(settings.paths.lake, statement)
    if as_csv:
        return _csv(rows)
    return "".join(f"{_json(row)}\n" for row in rows.to_pylist())


def _csv(rows: pa.Table) -> str:
    """Nested values as JSON, as CSV has no notation for them."""
    for place, field in enumerate(rows.schema):
        if pa.types.is_nested(field.type):
            values = rows.column(place).to_pylist()
            texts = [None if value is None else _json(value) for value in values]
            rows = rows.set_column(place, field.name, pa.array(texts, pa.string()))
    written = io.BytesIO()
    csv.write_csv(rows, written, csv.WriteOptions(quoting_style="needed"))
    return written.getvalue().decode()


def _json(value: object) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)


def _is_number(type_: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_)
    )
