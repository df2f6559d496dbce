"""The structural suite of a table, derived from its one declaration."""

from great_expectations.expectations.expectation import Expectation

from expectations.rules import (
    ColumnBetween,
    ColumnNotNull,
    ColumnValuesIn,
    RowsUnique,
    TableSchema,
    about,
)
from lakehouse.tables import Column, Table


def schema_rule(table: Table) -> TableSchema:
    """Columns, order and types; the other rules presuppose it."""
    return TableSchema(
        columns=[(column.name, column.type) for column in table.columns],
        **about(
            f"{table.full_name} must have the declared columns, in order, with their types",
            "Change the step that builds it, or its declaration in lakehouse/tables.py.",
            "fail",
        ),
    )


def content_rules(table: Table) -> list[Expectation]:
    """Nulls, allowed values, bounds and the grain, every one of severity *fail*.

    A ``double`` must also be finite: a NaN or infinity survives every average and ends in a score.
    """
    rules: list[Expectation] = []
    for column in table.columns:
        rules += _column_rules(column)
    rules.append(
        RowsUnique(
            columns=list(table.grain),
            **about(
                f"{_listed(table.grain)} must be different in every row",
                "Find the join or the delivery that repeats rows in the step that builds the "
                "table, or declare the right grain in lakehouse/tables.py.",
                "fail",
            ),
        )
    )
    return rules


def _column_rules(column: Column) -> list[Expectation]:
    rules: list[Expectation] = []
    if not column.nullable:
        rules.append(
            ColumnNotNull(
                column=column.name,
                **about(
                    f"{column.name} must not be null",
                    "Fill or quarantine such rows in the step that builds the table, or declare "
                    "the column nullable in lakehouse/tables.py.",
                    "fail",
                ),
            )
        )
    if column.allowed is not None:
        rules.append(
            ColumnValuesIn(
                column=column.name,
                value_set=list(column.allowed),
                **about(
                    f"{column.name} must be one of {_listed(column.allowed)}",
                    "Map or quarantine other values in the step that builds the table, or allow "
                    "them in lakehouse/tables.py.",
                    "fail",
                ),
            )
        )
    bounds = _bounds(column)
    if column.type == "double":
        rules.append(
            ColumnBetween(
                column=column.name,
                min_value=column.smallest,
                max_value=column.largest,
                **about(
                    f"{column.name} must be {', '.join(['a finite number', *bounds])}",
                    "Look for a division by zero or an overflow in the step that builds the table.",
                    "fail",
                ),
            )
        )
    elif bounds:
        rules.append(
            ColumnBetween(
                column=column.name,
                min_value=column.minimum,
                max_value=column.maximum,
                **about(
                    f"{column.name} must be {', '.join(bounds)}",
                    "Correct or quarantine such rows in the step that builds the table.",
                    "fail",
                ),
            )
        )
    return rules


def _bounds(column: Column) -> list[str]:
    """The column's bounds in words."""
    named = (("at least", column.minimum), ("at most", column.maximum))
    return [f"{words} {bound:g}" for words, bound in named if bound is not None]


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names)
