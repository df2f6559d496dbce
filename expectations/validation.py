"""Validation between two layers: check a frame, keep the result, stop the night on a *fail*."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import great_expectations as gx
import pandas as pd
from great_expectations.core import ExpectationSuite, ExpectationValidationResult
from great_expectations.data_context.data_context.ephemeral_data_context import (
    EphemeralDataContext,
)
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from great_expectations.expectations.expectation import Expectation

from expectations.checks import Check
from expectations.data_docs import build_data_docs, store_results
from expectations.findings import findings, rule_of
from expectations.frames import Frame, column_types
from expectations.rules import schema_problems
from expectations.suites import content_rules, schema_rule
from lakehouse.errors import DataQualityError, InfrastructureError
from lakehouse.tables import Table

__all__ = ["Verdict", "build_data_docs", "validate"]

# It logs the text of failed computations, which may quote values of the data.
logging.getLogger("great_expectations.validator.metrics_calculator").disabled = True


@dataclass(frozen=True, slots=True)
class Verdict:
    """A frame that passed: the findings of severity *warn* as sentences, and the rules checked."""

    warnings: tuple[str, ...]
    checks: int


def validate(
    frame: Frame,
    table: Table,
    *,
    run_date: date,
    results: Path,
    checks: Sequence[Check] = (),
) -> Verdict:
    """Check ``frame`` against the table's declaration and ``checks``; keep the result for the docs.

    The frame is read two or three times: stage or persist it before. Where its columns or types
    differ from the declaration, nothing else in it is checked. The result replaces an earlier one
    of the same table and run date below ``results``; it holds counts and shares, never a value.

    Raises ``DataQualityError`` listing every broken rule of severity *fail*, with what was observed
    and what to do, and ``InfrastructureError`` where a rule cannot be evaluated.
    """
    context = _context()
    declared = schema_rule(table)
    rules: list[Expectation] = [declared]
    if not schema_problems(column_types(frame), declared.columns):
        rules += content_rules(table)
        rules += [check.expectation for check in checks if check.measured is None]
    outcomes = _evaluate(context, frame, table, rules)

    measured = [(check.expectation, check.measured) for check in checks if check.measured]
    if measured:
        values = pd.DataFrame({name: [value] for _, (name, value) in measured})
        outcomes += _evaluate(context, values, table, [expectation for expectation, _ in measured])

    broken = findings(outcomes)
    failures = [finding.sentence for finding in broken if finding.severity == "fail"]
    store_results(outcomes, table, run_date=run_date, results=results, success=not failures)
    if failures:
        raise DataQualityError(
            f"{table.full_name} breaks {len(failures)} rule(s); nothing was written:\n"
            + "\n".join(f"  {sentence}" for sentence in failures)
        )
    return Verdict(
        warnings=tuple(f"{table.full_name}: {finding.sentence}" for finding in broken),
        checks=len(outcomes),
    )


def _context() -> EphemeralDataContext:
    """A context in memory that sends no usage statistics and draws no progress bars."""
    return gx.get_context(
        mode="ephemeral",
        project_config=DataContextConfig(
            store_backend_defaults=InMemoryStoreBackendDefaults(),
            analytics_enabled=False,
            progress_bars=ProgressBarsConfig(globally=False, metric_calculations=False),
        ),
    )


def _evaluate(
    context: EphemeralDataContext, frame: Frame, table: Table, rules: Sequence[Expectation]
) -> list[ExpectationValidationResult]:
    """The results of ``rules`` on ``frame``, in their order."""
    name, sources = table.full_name, context.data_sources
    if isinstance(frame, pd.DataFrame):
        pandas_asset = sources.add_or_update_pandas("pandas").add_dataframe_asset(name)
        data = pandas_asset.add_batch_definition_whole_dataframe(name)
    else:
        # Without spark_config, which might stop the session, and without caching what is staged.
        spark_source = sources.add_or_update_spark("spark", persist=False)
        data = spark_source.add_dataframe_asset(name).add_batch_definition_whole_dataframe(name)
    suite = ExpectationSuite(name, expectations=list(rules))
    batch = data.get_batch({"dataframe": frame})
    outcomes = batch.validate(suite, result_format="BASIC").results
    for outcome in outcomes:
        if error := _error_class(outcome):
            raise InfrastructureError(
                f"{table.full_name}: the rule '{rule_of(outcome)}' could not be evaluated "
                f"({error}). Look at the Spark log of this step; a second run may help."
            )
    return outcomes


def _error_class(outcome: ExpectationValidationResult) -> str | None:
    """The class of the error that kept the rule from being evaluated; its text may quote data."""
    info = outcome.exception_info
    errors = [info] if "raised_exception" in info else list(info.values())
    texts = [str(error["exception_message"]) for error in errors if error["raised_exception"]]
    if not texts:
        return None
    named = re.search(r"\[[A-Z0-9_.]+\]", texts[0])
    return named.group() if named else "an error without a class"
