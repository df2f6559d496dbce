"""What a step did, as one JSON file per run date and step."""

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import TypeAlias

JsonValue: TypeAlias = (
    "str | int | float | bool | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
)


@dataclass(frozen=True, slots=True)
class JobReport:
    """The outcome of one step.

    ``rows`` counts rows by table or stage; ``facts`` holds whatever else a person or a later step
    wants to know; ``warnings`` are the sentences of *warn* findings. ``seconds`` is the step's
    duration, 0 until the command line has measured it.
    """

    step: str
    run_date: date
    rows: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, JsonValue] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0


def report_path(runs: Path, run_date: date, step: str) -> Path:
    """Where the report of a step lies below the folder ``runs``."""
    return runs / run_date.isoformat() / f"{step}.json"


def write_report(report: JobReport, runs: Path) -> Path:
    """Write the report whole or not at all; return its path."""
    path = report_path(runs, report.run_date, report.step)
    content = asdict(report) | {"run_date": report.run_date.isoformat()}
    write_text_atomically(path, json.dumps(content, indent=2, sort_keys=True) + "\n")
    return path


def read_report(runs: Path, run_date: date, step: str) -> JobReport | None:
    """The report of a step, or ``None`` where the step has not ended."""
    path = report_path(runs, run_date, step)
    if not path.is_file():
        return None
    content = json.loads(path.read_text())
    return JobReport(
        step=content["step"],
        run_date=date.fromisoformat(content["run_date"]),
        rows=content["rows"],
        facts=content["facts"],
        warnings=tuple(content["warnings"]),
        seconds=content["seconds"],
    )


def write_text_atomically(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` so that a reader sees the old file or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    Path(name).replace(path)
