"""Which shops this Airflow runs: one, or one for each file of a folder.

Reads no more of a configuration than its shop's name and which files it names, so that one that is
broken takes no other shop down. `.airflowignore` says that this file holds no DAG.
"""

import os
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
# Where a configuration names another file.
NAMED_FILES = (("recommend", "rules"), ("serving", "guardrails"))


@dataclass(frozen=True, slots=True)
class Shop:
    """A shop's configuration, and its name where this Airflow runs several."""

    config: Path
    name: str | None = None

    def dag_id(self, name: str) -> str:
        """The id of the shop's DAG of that name."""
        return name if self.name is None else f"{name}_{self.name}"


@dataclass(frozen=True, slots=True)
class Shops:
    """The shops that can be run, and what is wrong with the files of the others."""

    usable: tuple[Shop, ...]
    mistakes: tuple[str, ...] = ()


def configured_shops() -> Shops:
    """The shops of ``TOPSHELF_CONFIG``: a file holds one, a folder one in each ``*.toml``.

    A file's only shop is run whatever the file says: its tasks report what is wrong with it.
    """
    value = os.environ.get("TOPSHELF_CONFIG")
    if not value:
        return Shops((), ("TOPSHELF_CONFIG names no file or folder; start through infra/run.",))
    place = PROJECT / value
    return _shops_of_folder(place) if place.is_dir() else Shops((Shop(place),))


def _shops_of_folder(folder: Path) -> Shops:
    """One shop a file; files that share a name are refused, as they would share all state.

    A file that a configuration names, of rules or guardrails, is no configuration.
    """
    files_of = defaultdict(list)
    wrong: dict[Path, str] = {}
    contents = {}
    for file in sorted(folder.glob("*.toml")):
        try:
            contents[file] = _content(file)
        except ValueError as error:
            wrong[file] = str(error)
    named = {other for file, content in contents.items() for other in _named_by(file, content)}
    for file, content in contents.items():
        try:
            files_of[_shop_name(content)].append(file)
        except ValueError as error:
            wrong[file] = str(error)
    mistakes = [f"{file}: {wrong[file]}" for file in sorted(wrong) if file.resolve() not in named]
    if not files_of and not mistakes:
        mistakes.append(f"{folder} holds no *.toml")
    for name, files in files_of.items():
        if len(files) > 1:
            several = ", ".join(file.name for file in files)
            mistakes.append(
                f'{folder}: {several} all have [shop] name = "{name}"; none of them runs'
            )
    return Shops(
        tuple(Shop(files[0], name) for name, files in sorted(files_of.items()) if len(files) == 1),
        tuple(mistakes),
    )


def _content(file: Path) -> dict[str, Any]:
    """What a file of TOML says; raises ``ValueError`` saying why it cannot be read."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"not valid TOML: {error}") from error


def _named_by(file: Path, content: dict[str, Any]) -> Iterator[Path]:
    """The files that a configuration names, beside it unless their paths are absolute."""
    for section, field in NAMED_FILES:
        table = content.get(section)
        path = table.get(field) if isinstance(table, dict) else None
        if isinstance(path, str):
            yield (file.parent / path).resolve()


def _shop_name(content: dict[str, Any]) -> str:
    """The ``[shop] name`` of a configuration; raises ``ValueError`` saying what is wrong."""
    shop = content.get("shop")
    name = shop.get("name") if isinstance(shop, dict) else None
    if name is None:
        raise ValueError("has no [shop] name; each shop of a folder needs one of its own")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(f"[shop] name = {name!r} is not of the form {NAME.pattern}")
    return name
