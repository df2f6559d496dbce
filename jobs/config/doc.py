"""The settings' declarations as Markdown, for people who write a configuration."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, NoneType
from typing import Any, Final, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel, StringConstraints
from pydantic.fields import FieldInfo

from jobs.config.environment import OTHER_NAMES, sections_of, variable
from jobs.config.methods import all_methods, knowing_methods
from jobs.config.moved import setting
from jobs.config.settings import Settings
from lakehouse.ingest.sources import (
    REQUIRED_COLUMNS,
    TARGETS,
    FileColumns,
    RejectRule,
    Replacement,
    SourceMapping,
    mappable_columns,
)
from models.core.parameters import shared_names

# What to show of methods' fields whose default is empty.
METHOD_EXAMPLES: Final[dict[str, object]] = {
    "further_sources": ["content"],
    "user_columns": ["age", "income"],
    "without": ["promotions"],
}
# What to show of other fields whose default is empty or absent.
EXAMPLES: Final[dict[type[BaseModel], dict[str, object]]] = {
    sections_of(Settings)["shop"]: {"name": "my_shop"},
    sections_of(Settings)["features"]: {"excluded_departments": ["FUEL", "GIFT CARDS"]},
    sections_of(Settings)["recommend"]: {
        "contexts": ["store_id", "age"],
        "rules": "rules.toml",
    },
    sections_of(Settings)["serving"]: {"guardrails": "infra/config/guardrails/my_shop.toml"},
    SourceMapping: {
        "name": "orders",
        "target": "events",
        "path": "orders/{date}.csv",
        "format": "csv",
        "header": ["customer", "article", "time"],
        "columns": {"user_id": "customer", "item_id": "article", "event_time": "time"},
        "constants": {"event_type": "purchase"},
        "attributes": ["age", "town"],
        "flags": ["Drama", "Comedy"],
        "other_columns": ["remark"],
        "decimal": ",",
        "thousands": ",",
        "user_fallback": "order_id",
        "duplicate_key": ["user_id", "order_id", "item_id"],
        "replacements": [{"column": "user_id", "pattern": "\\.0$", "replacement": ""}],
        "reject": [{"name": "cancellation", "column": "order_id", "pattern": "^C"}],
    },
    Replacement: {"column": "user_id", "pattern": "\\.0$", "replacement": "-"},
    RejectRule: {"name": "cancellation", "column": "order_id", "pattern": "^C"},
}

_SIMPLE: Final[dict[object, str]] = {
    int: "whole number",
    float: "number",
    bool: "`true` or `false`",
    Path: "path",
    dict[str, str]: "table of text",
    dict[str, FileColumns]: "table of text, or of lists of text",
}

HEAD: Final = """# Configuration

Generated from the settings' declarations by `topshelf config doc`; change it there.

One TOML file describes a shop. `topshelf config init FILE ...` writes a first one from your files,
and `topshelf config check` says what is wrong with it and how your files would be read. `--config`,
or the variable `TOPSHELF_CONFIG`, names the file. `[shop] name` and one `[[sources]]` of events are
all that is required.
"""

VARIABLES: Final = """
## Environment variables

`TOPSHELF__SECTION__FIELD=value` goes before the file: `TOPSHELF__TRAIN__SEED=7` sets
`[train] seed`. Sources stand in the file only. Secrets, such as the password in the address of a
Redis, belong here; no message, report or log shows a value of the environment.

* Numbers and `true` or `false` as in the file.
* Text and paths without quotes.
* Lists: values separated by commas, `TOPSHELF__TRAIN__METHODS=popularity,ease`; where a value
  holds a comma as in the file, `TOPSHELF__FEATURES__EXCLUDED_DEPARTMENTS='["FUEL", "A, B"]'`.
  Nothing is the empty list.

Any other name that begins with `TOPSHELF` is a mistake, except these:

| variable | meaning |
|---|---|
"""

MODELS: Final = """
## `[models.NAME]`

One table for each method that is to be other than it is by itself; `[train] methods` says which of
them a night tries. Variables: `TOPSHELF__MODELS__NAME__FIELD`.
"""

SOURCES: Final = """
## `[[sources]]`

One table for each kind of file in the landing folder; `[[sources]]` begins each. A source fills
events (somebody took something), items (the catalogue), users (who they are) or feedback (what
people did with what they were shown; the API's own files need no source).
"""


def config_doc() -> str:
    """The content of ``docs/configuration.md``: every setting with type, default and example."""
    parts = [HEAD]
    for name, model in sections_of(knowing_methods(Settings)).items():
        if name == "models":
            parts += _models()
            continue
        parts.append(f"\n## `[{name}]`\n\n{_first_paragraph(model)}\n\n")
        parts.append(f"Variables: `{variable(name, 'FIELD')}`.\n\n")
        parts += _table(model)
    parts += [SOURCES, "\n", *_table(SourceMapping)]
    parts.append("\nCanonical columns that a source may fill, the required ones in bold:\n\n")
    parts += [f"* {target}: {_columns(target)}\n" for target in TARGETS]
    parts.append("\nMeanings of the columns: [tables.md](tables.md), layer bronze.\n")
    for field, model in (("replacements", Replacement), ("reject", RejectRule)):
        parts.append(f"\n### `{field}`\n\n{_first_paragraph(model)}\n\n")
        parts += _table(model)
    parts.append(VARIABLES)
    parts += [f"| `{name}` | {meaning} |\n" for name, meaning in OTHER_NAMES.items()]
    return "".join(parts)


def _models() -> Iterator[str]:
    yield MODELS
    for name, method in all_methods().items():
        yield f"\n### `[models.{name}]`\n\n{_first_paragraph(method.Configuration)}\n\n"
        yield from _table(method.Configuration, shared_names(method.Configuration))


def example(model: type[BaseModel], name: str) -> object:
    """A value that the field takes: one chosen for the documentation, else its default."""
    chosen = next((EXAMPLES[kind] for kind in model.__mro__ if kind in EXAMPLES), METHOD_EXAMPLES)
    return chosen.get(name, _default(model.model_fields[name]))


def toml(value: object) -> str:
    """A value as TOML, in one line."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{name} = {toml(inner)}' for name, inner in value.items())} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, str) and "\\" in value and "'" not in value:
        return f"'{value}'"
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)


def _table(
    model: type[BaseModel], shared: Mapping[str, str] = MappingProxyType({})
) -> Iterator[str]:
    yield "| field | type | default | meaning | example |\n|---|---|---|---|---|\n"
    for name, field in model.model_fields.items():
        default = _default(field)
        usual = "none" if default in (None, (), {}) else f"`{toml(default)}`"
        if name in shared:
            usual = _shared(shared[name])
        cells = (
            f"`{name}`",
            ", ".join([_type(field.annotation), *_bounds(field)]),
            "required" if field.is_required() else usual,
            field.description or "",
            f"`{name} = {toml(example(model, name))}`",
        )
        yield f"| {' | '.join(_escaped(cell) for cell in cells)} |\n"


def _shared(name: str) -> str:
    """Where a value comes from that all methods of a night share."""
    if name == "user_attributes":
        return "the sources' `attributes`"
    tables = sections_of(Settings).items()
    section = next(table for table, model in tables if name in model.model_fields)
    return f"that of `{setting((section, name))}`"


def _default(field: FieldInfo) -> Any:  # noqa: ANN401 (a setting may be anything)
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    return str(default).replace("{shop}", "SHOP") if "{shop}" in str(default) else default


def _type(annotation: object) -> str:
    inside = [part for part in get_args(annotation) if part is not NoneType]
    said = _SIMPLE.get(annotation, "text")
    if get_origin(annotation) is Literal:
        said = " or ".join(f"`{value}`" for value in inside)
    elif get_origin(annotation) is tuple:
        said = f"list of {_type(inside[0])}"
    elif len(inside) == 1:
        said = _type(inside[0])
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        said = "tables, see below"
    return said


def _bounds(field: FieldInfo) -> Iterator[str]:
    for bound in field.metadata:
        match bound:
            case Ge(ge=limit):
                yield f"at least {_number(limit)}"
            case Gt(gt=limit):
                yield f"above {_number(limit)}"
            case Le(le=limit):
                yield f"at most {_number(limit)}"
            case Lt(lt=limit):
                yield f"below {_number(limit)}"
            case MinLen(min_length=limit) if get_origin(field.annotation) is tuple:
                yield f"at least {limit} value(s)"
            case StringConstraints(pattern=str(pattern)):
                yield f"`{pattern}`"
            case StringConstraints(max_length=int(length)):
                yield f"at most {length} characters"
            case _:
                pass


def _number(limit: object) -> str:
    return f"{limit:,}" if isinstance(limit, int) else f"{limit:g}"


def _columns(target: str) -> str:
    required = REQUIRED_COLUMNS[target]
    return ", ".join(
        f"**`{name}`**" if name in required else f"`{name}`" for name in mappable_columns(target)
    )


def _first_paragraph(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").partition("\n\n")[0].split())


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")
