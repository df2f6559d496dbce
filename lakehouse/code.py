"""Which code ran, so that what it made can be followed to it."""

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).resolve().parent.parent
_PACKAGES: Final = ("lakehouse", "features", "models", "expectations", "serving", "jobs")


@cache
def code_version() -> str:
    """The package's version and a digest of its files, e.g. `0.1.0+3f9a52c1b0de`.

    The same files give the same digest wherever they lie, in a checkout or from a wheel, committed
    or not.
    """
    digest = hashlib.sha256()
    for package in _PACKAGES:
        for file in sorted((_ROOT / package).rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(_ROOT).as_posix()}\0".encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    return f"{version('topshelf')}+{digest.hexdigest()[:12]}"
