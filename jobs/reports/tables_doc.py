"""The tables' declarations as Markdown, for people who query the lake."""

from itertools import groupby

from lakehouse.clean.silver import RULES
from lakehouse.tables import ALL_TABLES, Column, Table


def tables_doc() -> str:
    """The content of ``docs/tables.md``: every table's columns, and the quarantine's rules."""
    parts = [
        "# Tables\n\n"
        "Generated from `lakehouse/tables.py` by `topshelf tables-doc`; change it there.\n"
        "Each is a Delta table below `[paths] lake`, e.g. for a shop called `my_shop`\n"
        "`.topshelf/my_shop/lake/gold/recommendations`.\n"
    ]
    for layer, tables in groupby(ALL_TABLES, key=lambda table: table.layer):
        parts.append(f"\n## {layer.capitalize()}\n")
        parts += [_table(table) for table in tables]
    parts.append(
        "\n## Rules of the quarantine\n\n"
        "What `silver.quarantine` names; a source's own come from its `reject`.\n\n"
        "| rule | meaning |\n|---|---|\n"
    )
    parts += [f"| `{rule}` | {meaning} |\n" for rule, meaning in RULES.items()]
    return "".join(parts)


def _table(table: Table) -> str:
    lines = [
        f"\n### {table.full_name}\n",
        f"{table.doc}\n",
        f"One row per {', '.join(f'`{name}`' for name in table.grain)}; "
        f"partitioned by {', '.join(f'`{name}`' for name in table.partition_by)}.\n",
        "| column | type | null | meaning |",
        "|---|---|---|---|",
        *(_row(column) for column in table.columns),
    ]
    if table.retired:
        retired = ", ".join(f"`{name}`" for name, _ in table.retired)
        lines.append(f"\nRetired, null in new rows of older tables: {retired}.")
    return "\n".join(lines) + "\n"


def _row(column: Column) -> str:
    notes = [column.doc]
    if column.allowed is not None:
        notes.append(f"One of {', '.join(f'`{value}`' for value in column.allowed)}.")
    if column.minimum is not None:
        notes.append(f"At least {column.minimum:g}.")
    if column.maximum is not None:
        notes.append(f"At most {column.maximum:g}.")
    if column.personal:
        notes.append("Personal.")
    null = "yes" if column.nullable else ""
    text = " ".join(notes).replace("|", "\\|")
    return f"| `{column.name}` | {column.type} | {null} | {text} |"
