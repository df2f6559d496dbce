"""Settings from environment variables: ``TOPSHELF__SECTION__FIELD=value``.

Values come from where secrets are kept, so no message quotes one.
"""

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from jobs.config.moved import MOVED, Place
from lakehouse.nearest import nearest

PREFIX: Final = "TOPSHELF"
OTHER_NAMES: Final = {
    "TOPSHELF_CONFIG": "The configuration file, where `--config` is not given; for Airflow also a "
    "folder with one file a shop.",
    "TOPSHELF_NO_SYSTEM": "`1`: set-up must not install packages of the system.",
    "TOPSHELF_ROOT": "The checkout, for notebooks that run elsewhere.",
}


class Overrides(NamedTuple):
    """What the environment sets, as tables and by place, and its names that set nothing."""

    values: dict[str, Any]
    places: frozenset[Place]
    mistakes: tuple[str, ...]


def variable(*place: str) -> str:
    """The name of the variable that sets the field: its section, further tables, and its name."""
    return "__".join((PREFIX, *place)).upper()


def merged(content: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``content`` with the values of ``over`` in its tables; what is no table stays."""
    result = dict(content)
    for name, value in over.items():
        before = result.get(name, {})
        if not isinstance(value, Mapping):
            result[name] = value
        elif isinstance(before, Mapping):
            result[name] = merged(before, value)
    return result


def sections_of(settings: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """The sections that are one table each, hence may be set by variables."""
    return {
        name: field.annotation
        for name, field in settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }


def read_environment(environ: Mapping[str, str], settings: type[BaseModel]) -> Overrides:
    """The fields of ``settings`` that ``environ`` sets; texts become lists and numbers by field.

    A text that is no number stays as it is, for the check of the field to refuse. A list is
    separated by commas, or written as in the file: ``["A, B", "C"]``. Variables of tables that
    ``settings`` don't look at are left alone.
    """
    fields = {
        variable(*place): (place, annotation)
        for section, model in sections_of(settings).items()
        for place, annotation in _fields(model, (section,))
    }
    unseen = tuple(
        variable(section, "")
        for section, model in sections_of(settings).items()
        if model.model_config.get("extra") == "allow"
    )
    moved = {variable(*old): new for old, new in MOVED.items()}
    values: dict[str, Any] = {}
    places = []
    mistakes = []
    for name in sorted(environ):
        if name in fields:
            place, annotation = fields[name]
            places.append(place)
            values = merged(values, _at(place, _parsed(environ[name], annotation)))
        elif name in moved:
            mistakes.append(f"{name}: is {' or '.join(variable(*new) for new in moved[name])} now")
        elif (
            name.upper().startswith(PREFIX)
            and name not in OTHER_NAMES
            and not name.startswith(unseen)
        ):
            near = nearest(name, [*fields, *OTHER_NAMES])
            hint = f"did you mean {near[0]}?" if near else "docs/configuration.md lists all names"
            mistakes.append(f"{name}: no such setting; {hint}")
    return Overrides(values, frozenset(places), tuple(mistakes))


def _at(place: Place, value: object) -> dict[str, Any]:
    first, *rest = place
    return {first: _at(tuple(rest), value) if rest else value}


def _fields(model: type[BaseModel], table: Place) -> Iterator[tuple[Place, object]]:
    """The fields of a table and of those in it, by place."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _fields(kind, (*table, name))
        else:
            yield (*table, name), kind


def _parsed(text: str, annotation: object) -> object:
    if get_origin(annotation) is tuple:
        return _list(text.strip())
    if annotation in (int, float, bool):
        try:
            parsed: object = TypeAdapter(annotation).validate_strings(text.strip())
        except ValidationError:
            return text
        return parsed
    return text


def _list(text: str) -> object:
    if text.startswith("["):
        try:
            return tomllib.loads(f"list = {text}")["list"]
        except tomllib.TOMLDecodeError:
            return text
    return [part.strip() for part in text.split(",")] if text else []
