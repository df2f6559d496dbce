"""What became of each rule, night by night: rows of ``ops.expectation_results``."""

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from lakehouse.errors import DataError
from lakehouse.files import read_json


def rule_results(
    results: Path, run_date: date, owners: Mapping[str, str]
) -> Iterator[dict[str, object]]:
    """The night's validations below ``results``, a row for each rule.

    ``owners`` tells who answers for a table by its name, or by its layer. A validation that is
    damaged is left out: the Data Docs name its file.
    """
    for path in sorted((results / run_date.isoformat() / "results").glob("[!.]*.json")):
        try:
            validation = read_json(path, f"Run the step that builds {path.stem} again.")
        except DataError:
            continue
        table = str(validation["suite_name"])
        owner = owners.get(table) or owners.get(table.partition(".")[0], "")
        for outcome in validation["results"]:
            yield {"run_date": run_date, "table_name": table, "owner": owner} | _row(outcome)


def _row(outcome: Mapping[str, Any]) -> dict[str, object]:
    config, result = outcome["expectation_config"], outcome["result"]
    broken, rows = result.get("unexpected_count"), result.get("element_count")
    value = result.get("observed_value")
    if broken is not None and rows:
        value = broken / rows
    return {
        "expectation": config["type"],
        "subject": config["kwargs"].get("column", ""),
        "rule": config["meta"]["rule"],
        "severity": "fail" if config["severity"] == "critical" else "warn",
        "rows": rows,
        "broken_rows": broken,
        "observed": float(value) if isinstance(value, (int, float)) else None,
        "verdict": "passed" if outcome["success"] else "broken",
    }
