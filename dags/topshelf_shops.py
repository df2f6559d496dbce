"""Which shops this Airflow runs: one, or one for each file of a folder.

Reads no more of a configuration than its shop's name, so that one that is broken takes no other
shop down. `.airflowignore` says that this file holds no DAG.
"""

import os
import re
import tomllib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


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
    """One shop a file; files that share a name are refused, as they would share all state."""
    files_of = defaultdict(list)
    mistakes = []
    for file in sorted(folder.glob("*.toml")):
        try:
            files_of[_shop_name(file)].append(file)
        except ValueError as error:
            mistakes.append(f"{file}: {error}")
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


def _shop_name(file: Path) -> str:
    """The ``[shop] name`` of a configuration; raises ``ValueError`` saying what is wrong."""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"not valid TOML: {error}") from error
    shop = content.get("shop")
    name = shop.get("name") if isinstance(shop, dict) else None
    if name is None:
        raise ValueError("has no [shop] name; each shop of a folder needs one of its own")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(f"[shop] name = {name!r} is not of the form {NAME.pattern}")
    return name
