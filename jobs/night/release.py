"""What a release is called and shows: the same inputs give the same name, any other another."""

import hashlib
import json
from collections.abc import Mapping
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from jobs.config.settings import Settings
from models.lists.rules.book import RuleBook

DIGITS = 8


def lists_digest(settings: Settings, rules: RuleBook) -> str:
    """SHA-256 of all settings that shape lists, with the rules of the night where it has any."""
    if not rules.rules:
        return settings.digest()
    return hashlib.sha256(f"{settings.digest()} {rules.digest}".encode()).hexdigest()


def release_id(
    run_date: date,
    model_version: str,
    table_versions: Mapping[str, int],
    configuration_digest: str,
    seed: int,
) -> str:
    """``<run_date>-<8 hex digits>`` of the SHA-256 of everything that the lists depend on."""
    inputs = {
        "run_date": run_date.isoformat(),
        "model_version": model_version,
        "table_versions": dict(table_versions),
        "configuration": configuration_digest,
        "seed": seed,
    }
    canonical = json.dumps(inputs, sort_keys=True, separators=(",", ":"))
    return f"{run_date}-{hashlib.sha256(canonical.encode()).hexdigest()[:DIGITS]}"


def is_shown(rows: pa.Table, size: int) -> pa.ChunkedArray:
    """Which rows of ``gold.recommendations`` (``rank``, ``spare``) are not spare.

    In those of the former release, which don't say so, places up to ``size`` are shown.
    """
    return pc.coalesce(pc.invert(rows["spare"]), pc.less_equal(rows["rank"], size))
