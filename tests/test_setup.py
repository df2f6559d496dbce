"""Set-up says in one line what is missing and how to get it."""

import hashlib
import importlib.util
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def setup(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The set-up script on a machine that has nothing: an empty PATH, no pyenv, no JAVA_HOME."""
    spec = importlib.util.spec_from_file_location("topshelf_setup", ROOT / "infra" / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr(module, "JAVA_FOLDERS", (tmp_path / "jvm",))
    return module


def executable(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_no_python_is_named_with_the_remedy(setup):
    with pytest.raises(
        setup.SetupError, match=r"^no Python 3\.13, 3\.12 or 3\.11 on PATH, .*apt-get"
    ):
        setup.find_python()


def test_the_newest_python_wins_wherever_it_is(setup, tmp_path):
    executable(tmp_path / "bin" / "python3", "echo 3.12")
    newest = executable(tmp_path / "pyenv" / "versions" / "3.13.1" / "bin" / "python", "echo 3.13")
    assert setup.find_python() == (str(newest), "3.13")


def test_python_3_11_without_a_compiler_is_refused(setup, tmp_path):
    python = executable(tmp_path / "bin" / "python3", "echo 3.11")
    with pytest.raises(setup.SetupError, match=r"needs a C compiler .*install gcc"):
        setup.find_python()
    executable(tmp_path / "bin" / "gcc", "exit 0")
    assert setup.find_python() == (str(python), "3.11")


def test_an_interpreter_that_does_not_start_is_passed_over(setup, tmp_path):
    executable(tmp_path / "bin" / "python3.13", "exit 127")
    good = executable(tmp_path / "bin" / "python3.12", "echo 3.12")
    assert setup.find_python() == (str(good), "3.12")


def test_no_java_is_named_with_the_remedy(setup):
    with pytest.raises(setup.SetupError, match=r"needs Java 17 or 21, found no Java: .*apt-get"):
        setup.find_java()


def test_a_wrong_java_is_named_and_a_right_one_found_beside_it(setup, tmp_path):
    executable(tmp_path / "jvm" / "old" / "bin" / "java", "echo 'openjdk version \"11.0.2\"' >&2")
    with pytest.raises(setup.SetupError, match="found Java 11: install one"):
        setup.find_java()
    right = tmp_path / "jvm" / "new"
    executable(right / "bin" / "java", "echo 'openjdk version \"21.0.1\"' >&2")
    assert setup.find_java() == str(right)


def test_a_jar_must_have_the_locked_checksum(setup, tmp_path, monkeypatch):
    lock = tmp_path / "jars.lock"
    lock.write_text(f"{hashlib.sha256(b'right').hexdigest()}  delta.jar\n")
    monkeypatch.setattr(setup, "JARS_LOCK", lock)
    with pytest.raises(setup.SetupError, match=r"^Delta jar delta\.jar was not resolved"):
        setup.check_jars(tmp_path)
    (tmp_path / "delta.jar").write_bytes(b"wrong")
    with pytest.raises(setup.SetupError, match="does not have the checksum"):
        setup.check_jars(tmp_path)
    (tmp_path / "delta.jar").write_bytes(b"right")
    setup.check_jars(tmp_path)


def test_what_is_missing_is_one_line_and_exit_code_1(setup, capsys):
    assert setup.main() == 1
    stderr = capsys.readouterr().err
    assert stderr.startswith("setup: Spark needs Java 17 or 21, found no Java")
    assert stderr.count("\n") == 1


def test_every_command_writes_for_its_owner_alone_and_closes_what_was_open(tmp_path):
    for name in ("run", "env.sh"):
        (tmp_path / "infra").mkdir(exist_ok=True)
        shutil.copy(ROOT / "infra" / name, tmp_path / "infra" / name)
    command = [str(tmp_path / "infra" / "run"), "sh", "-c", "umask"]
    before = subprocess.run(command, capture_output=True, text=True, check=True, umask=0o022)
    assert before.stdout == "0077\n"
    assert not (tmp_path / ".topshelf").exists()
    (tmp_path / ".topshelf").mkdir(mode=0o755)
    subprocess.run(command, capture_output=True, check=True)
    assert (tmp_path / ".topshelf").stat().st_mode & 0o777 == 0o700
