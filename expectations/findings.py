"""Broken rules as sentences, the same in errors, warnings and Data Docs."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from great_expectations.core import ExpectationValidationResult
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
from great_expectations.expectations.metadata_types import FailureSeverity

from expectations.rules import Severity


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken rule: how grave it is, and in words the rule, what was observed, and the remedy."""

    severity: Severity
    sentence: str


def findings(outcomes: Iterable[ExpectationValidationResult]) -> list[Finding]:
    """The broken rules among ``outcomes``, the grave ones first."""
    broken = [_finding(outcome) for outcome in outcomes if not outcome.success]
    return sorted(broken, key=lambda finding: finding.severity)


def counted_rows(outcomes: Iterable[ExpectationValidationResult]) -> int | None:
    """The frame's rows, or ``None`` where no rule on a column was checked."""
    for outcome in outcomes:
        if _config(outcome).type == "column_not_null":
            return int(outcome.result["element_count"])
    return None


def rule_of(outcome: ExpectationValidationResult) -> str:
    """The rule in words, without its verdict."""
    return str(_meta(outcome)["rule"])


def _finding(outcome: ExpectationValidationResult) -> Finding:
    critical = _config(outcome).severity == FailureSeverity.CRITICAL
    observed = _observed(outcome.result)
    return Finding(
        severity="fail" if critical else "warn",
        sentence=f"{rule_of(outcome)}, but {observed}. {_meta(outcome)['advice']}",
    )


def _observed(result: dict[str, Any]) -> str:
    if "unexpected_count" in result:
        broken, total = result["unexpected_count"], result["element_count"]
        return f"{broken:,} of {total:,} ({100 * broken / total:.3g} %) are not as required"
    value = result["observed_value"]
    if isinstance(value, str):
        return value
    return "there is no value" if value is None else f"it is {value:,.6g}"


def _meta(outcome: ExpectationValidationResult) -> dict[str, Any]:
    meta: dict[str, Any] = _config(outcome).meta
    return meta


def _config(outcome: ExpectationValidationResult) -> ExpectationConfiguration:
    return cast("ExpectationConfiguration", outcome.expectation_config)
