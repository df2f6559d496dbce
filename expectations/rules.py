"""Great Expectations' expectations as Topshelf uses them: they count rows and keep no value.

GX samples the values that break an expectation. Ours leave that metric out: a sample costs one more
pass over the data for every rule, and it would carry personal data into reports. What is left is
one aggregate for all column rules together, and one pass for each rule over groups.
"""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Literal

from great_expectations.core.metric_domain_types import MetricDomainTypes
from great_expectations.execution_engine.execution_engine import ExecutionEngine
from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
from great_expectations.execution_engine.sparkdf_execution_engine import SparkDFExecutionEngine
from great_expectations.expectations.core.expect_column_values_to_be_between import (
    ExpectColumnValuesToBeBetween,
)
from great_expectations.expectations.core.expect_column_values_to_be_in_set import (
    ExpectColumnValuesToBeInSet,
)
from great_expectations.expectations.core.expect_column_values_to_not_be_null import (
    ExpectColumnValuesToNotBeNull,
)
from great_expectations.expectations.expectation import BatchExpectation, ColumnMapExpectation
from great_expectations.expectations.metadata_types import FailureSeverity
from great_expectations.expectations.metrics.metric_provider import metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider
from great_expectations.validator.validator import ValidationDependencies

from expectations.counts import duplicate_rows, misranked_groups, unbalanced_rows
from expectations.frames import column_types

Severity = Literal["fail", "warn"]

_GX_SEVERITY = {"fail": FailureSeverity.CRITICAL, "warn": FailureSeverity.WARNING}


def about(rule: str, advice: str, severity: Severity) -> dict[str, Any]:
    """The arguments by which an expectation carries its sentence, its remedy and its severity.

    ``rule`` reads "X must …", ``advice`` tells the person who meets the finding what to do.
    """
    return {
        "description": rule if severity == "fail" else f"{rule} (warning only)",
        "meta": {"rule": rule, "advice": advice},
        "severity": _GX_SEVERITY[severity],
    }


class _CountOnly(ColumnMapExpectation):
    """A column expectation without the sample of the values that break it."""

    def get_validation_dependencies(
        self,
        execution_engine: ExecutionEngine[Any] | None = None,
        runtime_configuration: dict[str, Any] | None = None,
        **kwargs: dict[str, Any],
    ) -> ValidationDependencies:
        dependencies = super().get_validation_dependencies(
            execution_engine, runtime_configuration, **kwargs
        )
        dependencies.remove_metric_configuration(f"{self.map_metric}.unexpected_values")
        return dependencies


class ColumnNotNull(_CountOnly, ExpectColumnValuesToNotBeNull):
    """No null."""


class ColumnValuesIn(_CountOnly, ExpectColumnValuesToBeInSet):
    """Values of a short list; nulls are left to other rules."""


class ColumnBetween(_CountOnly, ExpectColumnValuesToBeBetween):
    """Numbers within bounds; nulls are left to other rules."""


class _FrameMetric(TableMetricProvider):
    """A metric that is a plain function of the frame and of the expectation's arguments."""

    measure: ClassVar[Callable[..., object]]

    @metric_value(engine=SparkDFExecutionEngine)
    def _spark(cls, *, execution_engine, metric_domain_kwargs, metric_value_kwargs, **_):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN003, ANN202, N805
        frame = _frame(execution_engine, metric_domain_kwargs)
        return cls.measure(frame, **metric_value_kwargs)

    @metric_value(engine=PandasExecutionEngine)
    def _pandas(cls, *, execution_engine, metric_domain_kwargs, metric_value_kwargs, **_):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN003, ANN202, N805
        frame = _frame(execution_engine, metric_domain_kwargs)
        return cls.measure(frame, **metric_value_kwargs)


class _ColumnTypes(_FrameMetric):
    metric_name = "topshelf.column_types"
    measure = staticmethod(column_types)


class _DuplicateRows(_FrameMetric):
    metric_name = "topshelf.duplicate_rows"
    value_keys = ("columns",)
    measure = staticmethod(duplicate_rows)


class _MisrankedGroups(_FrameMetric):
    metric_name = "topshelf.misranked_groups"
    value_keys = ("group_by", "rank")
    measure = staticmethod(misranked_groups)


class _UnbalancedRows(_FrameMetric):
    metric_name = "topshelf.unbalanced_rows"
    value_keys = ("total", "parts")
    measure = staticmethod(unbalanced_rows)


class TableSchema(BatchExpectation):
    """The declared columns, in order, with the declared types."""

    columns: list[tuple[str, str]]

    metric_dependencies = ("topshelf.column_types",)
    success_keys = ("columns",)
    args_keys = ("columns",)

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,
        execution_engine: ExecutionEngine[Any] | None = None,
    ) -> dict[str, Any]:
        problems = schema_problems(metrics["topshelf.column_types"], self.columns)
        return {
            "success": not problems,
            "result": {"observed_value": "; ".join(problems) or "as declared"},
        }


class RowsUnique(BatchExpectation):
    """No two rows with the same values in ``columns``."""

    columns: list[str]

    metric_dependencies = ("topshelf.duplicate_rows", "table.row_count")
    success_keys = ("columns",)
    args_keys = ("columns",)

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,
        execution_engine: ExecutionEngine[Any] | None = None,
    ) -> dict[str, Any]:
        return _counted(metrics["topshelf.duplicate_rows"], metrics["table.row_count"])


class GroupsRanked(BatchExpectation):
    """In every group, ranks from 1 without gap or tie."""

    group_by: list[str]
    rank: str

    metric_dependencies = ("topshelf.misranked_groups",)
    success_keys = ("group_by", "rank")
    args_keys = ("group_by", "rank")

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,
        execution_engine: ExecutionEngine[Any] | None = None,
    ) -> dict[str, Any]:
        return _counted(*metrics["topshelf.misranked_groups"])


class RowsBalanced(BatchExpectation):
    """In every row, ``total`` is the sum of ``parts``."""

    total: str
    parts: list[str]

    metric_dependencies = ("topshelf.unbalanced_rows", "table.row_count")
    success_keys = ("total", "parts")
    args_keys = ("total", "parts")

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,
        execution_engine: ExecutionEngine[Any] | None = None,
    ) -> dict[str, Any]:
        return _counted(metrics["topshelf.unbalanced_rows"], metrics["table.row_count"])


def schema_problems(
    found: Iterable[tuple[str, str]], declared: Iterable[tuple[str, str]]
) -> list[str]:
    """What differs between two lists of (name, type), by name; empty where they agree."""
    types = dict(found)
    wanted = dict(declared)
    problems = [f"column {name} is missing" for name in wanted if name not in types]
    problems += [f"column {name} is not declared" for name in types if name not in wanted]
    problems += [
        f"column {name} is {types[name]} instead of {type_}"
        for name, type_ in wanted.items()
        if types.get(name, type_) not in {type_, "null"}
    ]
    if not problems and list(types) != list(wanted):
        problems = [f"the columns come in another order: {', '.join(types)}"]
    return problems


def _frame(execution_engine: ExecutionEngine[Any], domain: dict[str, Any]) -> object:
    frame, _, _ = execution_engine.get_compute_domain(domain, domain_type=MetricDomainTypes.TABLE)
    return frame


def _counted(broken: int, total: int) -> dict[str, Any]:
    """The result of an expectation that nothing may break, in the form that Data Docs render."""
    return {
        "success": broken == 0,
        "result": {
            "element_count": total,
            "unexpected_count": broken,
            "unexpected_percent": 100 * broken / total if total else 0.0,
        },
    }
