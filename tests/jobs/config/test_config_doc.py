"""The documentation of the settings: whole, and its examples are right."""

import tomllib

import pytest
from pydantic import BaseModel, ValidationError

from jobs.config.doc import config_doc, example, toml
from jobs.config.methods import all_methods
from jobs.config.settings import Settings
from lakehouse.ingest.sources import RejectRule, Replacement, SourceMapping
from tests.landed import EVENTS, ITEMS, USERS


def test_each_field_has_a_row_with_an_example_that_loads() -> None:
    lines = config_doc().splitlines()
    for section, model in Settings.model_fields.items():
        if section not in ("sources", "models"):
            at = lines.index(f"## `[{section}]`")
            assert isinstance(model.annotation, type)
            _check(model.annotation, lines[at:], [{}])
    for name, method in all_methods().items():
        at = lines.index(f"### `[models.{name}]`")
        _check(method.Configuration, lines[at:], [{}])
    orders = EVENTS | {"columns": EVENTS["columns"] | {"order_id": "order"}}
    _check(SourceMapping, lines[lines.index("## `[[sources]]`") :], [EVENTS, orders, ITEMS, USERS])
    required: dict[str, object] = {"name": "x", "column": "user_id", "pattern": "x"}
    _check(RejectRule, lines[lines.index("### `reject`") :], [required])
    del required["name"]
    _check(Replacement, lines[lines.index("### `replacements`") :], [required])


def _check(model: type[BaseModel], lines: list[str], others: list[dict[str, object]]) -> None:
    for name in model.model_fields:
        row = next(line for line in lines if line.startswith(f"| `{name}` |"))
        shown = row.replace("\\|", "|").rpartition(" | `")[2].removesuffix("` |")
        read = tomllib.loads(shown)
        assert read == tomllib.loads(f"{name} = {toml(example(model, name))}")
        assert read[name] not in ("", [], {}, None), name
        assert any(_takes(model, other | read) for other in others), shown


def _takes(model: type[BaseModel], values: dict[str, object]) -> bool:
    try:
        model.model_validate(values)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (0.5, "0.5"),
        ("a\tb", '"a\\tb"'),
        ("\\.0$", "'\\.0$'"),
        ("it's \\d", '"it\'s \\\\d"'),
        (["é", 1], '["é", 1]'),
        ({"a": {"b": []}}, "{ a = { b = [] } }"),
    ],
)
def test_values_are_written_as_toml(value: object, text: str) -> None:
    assert toml(value) == text
    assert tomllib.loads(f"x = {text}") == {"x": value}
