"""Whose a folder is: the first shop that writes to it puts its name there, others are refused."""

from pathlib import Path
from typing import Final

from lakehouse.errors import ConfigurationError, DataError, InfrastructureError
from lakehouse.locks import process_lock

MARKER: Final = ".shop"
LONGEST_NAME: Final = 40
_LOCK: Final = ".shop.lock"


def claim(folder: Path, shop: str) -> None:
    """Make ``folder`` the shop's where it is nobody's yet; a missing one is made.

    Raises ``ConfigurationError`` where it is another shop's, ``DataError`` where its marker is
    damaged, ``InfrastructureError`` where it cannot be read or written.
    """
    try:
        if _owner(folder) is None:
            folder.mkdir(parents=True, exist_ok=True)
            with process_lock(folder / _LOCK):
                if _owner(folder) is None:
                    (folder / MARKER).write_text(f"{shop}\n")
    except OSError as error:
        raise InfrastructureError(
            f"cannot write to {folder}: {error.strerror}. Free space or mend its permissions."
        ) from error
    check_owner(folder, shop)


def check_owner(folder: Path, shop: str) -> None:
    """Raise ``ConfigurationError`` where ``folder`` is another shop's; a missing one is nobody's.

    Raises ``DataError`` where its marker is damaged, ``InfrastructureError`` where it cannot be
    read.
    """
    try:
        owner = _owner(folder)
    except OSError as error:
        raise InfrastructureError(
            f"cannot read {folder / MARKER}: {error.strerror}. Mend its permissions."
        ) from error
    if owner not in (None, shop):
        raise ConfigurationError(
            f"{folder} belongs to the shop {owner!r}, and this configuration is of {shop!r}. Give "
            f"each shop folders of its own, or correct `[shop] name`."
        )


def _owner(folder: Path) -> str | None:
    """The name in the marker; an empty marker is one whose writer was killed."""
    try:
        owner = (folder / MARKER).read_text(errors="replace").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if len(owner) > LONGEST_NAME or not owner.isprintable() or "\N{REPLACEMENT CHARACTER}" in owner:
        raise DataError(
            f"{folder / MARKER} is damaged: it names no shop. Write the name of the shop that "
            f"{folder} belongs to into it."
        )
    return owner or None
