"""A configuration's mistakes in our words: each once, with what would be right, without secrets."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from jobs.config.environment import variable
from jobs.config.moved import MOVED, setting
from lakehouse.nearest import instead_of, nearest

SHOWN_LENGTH: Final = 80
CREDENTIALS: Final = re.compile(r"(?<=://).*@", re.DOTALL)

Place = tuple[int | str, ...]

_RULES: Final[Mapping[str, str]] = {
    "bool_type": "must be `true` or `false`",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be text in quotes",
    "path_type": "must be a path in quotes",
    "tuple_type": "must be a list in brackets",
    "dict_type": "must be a table in braces",
    "model_type": "must be a table",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "string_pattern_mismatch": "must match {pattern}",
    "string_too_short": "must have at least {min_length} character(s)",
    "string_too_long": "must have at most {max_length} character(s)",
    "too_short": "must have at least {min_length} value(s)",
}


def without_credentials(text: str) -> str:
    """``text`` with user and password of an address in it replaced by stars."""
    return CREDENTIALS.sub("***@", text)


def told(
    error: ValidationError,
    settings: type[BaseModel],
    given: Mapping[str, Any],
    from_environment: Collection[tuple[str, ...]],
) -> list[str]:
    """A line per mistake, ``place: rule``, with the value where it stands in the file.

    ``from_environment`` holds the places whose values came from variables.
    """
    found = error.errors(include_url=False)
    meant = {
        (*place, name)
        for mistake in found
        if mistake["type"] == "extra_forbidden"
        for *place, unknown in [mistake["loc"]]
        for name in nearest(str(unknown), _names(settings, tuple(place)))[:1]
    }
    lines = []
    for mistake in found:
        place = mistake["loc"]
        if mistake["type"] == "missing" and place in meant:
            continue  # The mistyped name is told.
        if mistake["type"] == "too_short" and any(_within(other["loc"], place) for other in found):
            continue  # A wrong value of the list is told.
        secret = next((name for name in from_environment if place[: len(name)] == name), None)
        label = variable(*secret) if secret else _label(place, given)
        value = "" if secret else _value(mistake, settings)
        lines += [f"{label}: {rule}{value}" for rule in _rule(mistake, settings).splitlines()]
    return lines


def _within(place: Place, outer: Place) -> bool:
    return len(place) > len(outer) and place[: len(outer)] == outer


def _rule(mistake: ErrorDetails, settings: type[BaseModel]) -> str:
    kind, place, context = mistake["type"], mistake["loc"], mistake.get("ctx", {})
    if kind == "extra_forbidden" and (new := MOVED.get(tuple(map(str, place)))):
        return f"is {' or '.join(map(setting, new))} now"
    if kind == "extra_forbidden":
        return f"no such setting; {instead_of(str(place[-1]), _names(settings, place[:-1]))}"
    if kind == "missing":
        doc = _model_at(settings, place[:-1]).model_fields[str(place[-1])].description
        return f"is missing{': ' + doc if doc else ''}"
    if kind == "literal_error":
        allowed = re.findall("'([^']*)'", context["expected"])
        return f"is not known; {instead_of(str(mistake['input']), allowed)}"
    if kind == "value_error":
        return str(context["error"])
    return _RULES[kind].format(**context) if kind in _RULES else mistake["msg"]


def _value(mistake: ErrorDetails, settings: type[BaseModel]) -> str:
    """The wrong value, where it is one that a person can see at a glance and may see."""
    value, place = mistake["input"], mistake["loc"]
    if mistake["type"] in ("missing", "extra_forbidden") or isinstance(value, dict | list | tuple):
        return ""
    field = _model_at(settings, place[:-1]).model_fields.get(str(place[-1]))
    if field is not None and not field.repr:
        return ""
    return f" (value: {without_credentials(repr(value))[:SHOWN_LENGTH]})"


def _label(place: Place, given: Mapping[str, Any]) -> str:
    """The place in the file; a source goes by its name."""
    parts: list[str] = []
    for position, part in enumerate(place):
        if isinstance(part, int) and position == 1 and (name := _name_of(given, part)):
            parts.append(name)
        elif isinstance(part, int):
            parts[-1] += f"#{part + 1}"
        else:
            parts.append(part)
    return ".".join(parts) or "file"


def _name_of(given: Mapping[str, Any], index: int) -> str | None:
    source = given["sources"][index]
    name = source.get("name") if isinstance(source, dict) else None
    return name if isinstance(name, str) and name.isidentifier() else None


def _names(settings: type[BaseModel], place: Place) -> tuple[str, ...]:
    return tuple(_model_at(settings, place).model_fields)


def _model_at(settings: type[BaseModel], place: Sequence[int | str]) -> type[BaseModel]:
    """The model of the innermost table that ``place`` lies in."""
    model = settings
    for part in place:
        field = model.model_fields.get(str(part))
        model = (_inner_model(field.annotation) if field is not None else None) or model
    return model


def _inner_model(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _inner_model(part))), None)
