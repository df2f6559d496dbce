"""Settings from environment variables: ``TOPSHELF__SECTION__FIELD=value``.

Values come from where secrets are kept, so no message quotes one.
"""

import tomllib
from collections.abc import Mapping
from typing import Final, NamedTuple, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from lakehouse.nearest import nearest

PREFIX: Final = "TOPSHELF"
OTHER_NAMES: Final = {
    "TOPSHELF_CONFIG": "The configuration file, where `--config` is not given; for Airflow also a "
    "folder with one file a shop.",
    "TOPSHELF_NO_SYSTEM": "`1`: set-up must not install packages of the system.",
    "TOPSHELF_ROOT": "The checkout, for notebooks that run elsewhere.",
}


class Overrides(NamedTuple):
    """What the environment sets, by section and field, and its names that set nothing."""

    values: dict[str, dict[str, object]]
    mistakes: tuple[str, ...]


def variable(section: str, field: str) -> str:
    """The name of the variable that sets the field."""
    return f"{PREFIX}__{section}__{field}".upper()


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
    separated by commas, or written as in the file: ``["A, B", "C"]``.
    """
    fields = {
        variable(section, name): (section, name, field.annotation)
        for section, model in sections_of(settings).items()
        for name, field in model.model_fields.items()
    }
    values: dict[str, dict[str, object]] = {}
    mistakes = []
    for name in sorted(environ):
        if name in fields:
            section, field, annotation = fields[name]
            values.setdefault(section, {})[field] = _parsed(environ[name], annotation)
        elif name.upper().startswith(PREFIX) and name not in OTHER_NAMES:
            near = nearest(name, [*fields, *OTHER_NAMES])
            hint = f"did you mean {near[0]}?" if near else "docs/configuration.md lists all names"
            mistakes.append(f"{name}: no such setting; {hint}")
    return Overrides(values, tuple(mistakes))


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
