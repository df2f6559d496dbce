"""The digest of the code: the same wherever it lies, another where any file of it is another."""

import subprocess
import sys
from pathlib import Path

import lakehouse.code
from lakehouse.code import code_version

PROJECT = Path(lakehouse.code.__file__).parents[1]


def version_in(place: Path) -> str:
    """What a process says that has its packages from there."""
    command = "from lakehouse.code import code_version; print(code_version())"
    done = subprocess.run(
        [sys.executable, "-c", command], cwd=place, env={}, capture_output=True, check=True
    )
    return done.stdout.decode().strip()


def test_a_copy_has_the_same_version_until_a_file_of_it_changes(tmp_path: Path) -> None:
    for name in ("lakehouse", "features"):
        for file in (PROJECT / name).rglob("*.py"):
            copy = tmp_path / file.relative_to(PROJECT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    parts = version_in(tmp_path)
    (tmp_path / "features" / "__pycache__").mkdir(exist_ok=True)
    (tmp_path / "features" / "__pycache__" / "x.pyc").write_bytes(b"compiled")
    assert version_in(tmp_path) == parts != code_version()
    (tmp_path / "features" / "new.py").write_text("")
    assert version_in(tmp_path) != parts
    assert parts.split("+")[0] == code_version().split("+")[0]
