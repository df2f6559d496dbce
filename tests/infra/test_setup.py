"""Set-up says in one line what is missing and how to get it."""

import hashlib
import importlib.util
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from tests.project import ROOT


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


def test_no_python_is_named_with_the_remedy(setup: ModuleType) -> None:
    with pytest.raises(
        setup.SetupError, match=r"^no Python 3\.13, 3\.12 or 3\.11 with venv on PATH, .*apt-get"
    ):
        setup.find_python()


def test_the_newest_python_wins_wherever_it_is(setup: ModuleType, tmp_path: Path) -> None:
    executable(tmp_path / "bin" / "python3", "echo 3.12")
    newest = executable(tmp_path / "pyenv" / "versions" / "3.13.1" / "bin" / "python", "echo 3.13")
    assert setup.find_python() == (str(newest), "3.13")


def test_python_3_11_without_a_compiler_or_its_headers_is_refused(
    setup: ModuleType, tmp_path: Path
) -> None:
    python = executable(tmp_path / "bin" / "python3", "echo 3.11")
    with pytest.raises(setup.SetupError, match=r"needs a C compiler .*install gcc"):
        setup.find_python()
    executable(tmp_path / "bin" / "gcc", "exit 0")
    no_headers = 'case "$2" in *Python.h*) exit 1 ;; *) echo 3.11 ;; esac'
    executable(tmp_path / "bin" / "python3", no_headers)
    with pytest.raises(setup.SetupError, match=r"needs a C compiler and its headers"):
        setup.find_python()
    executable(tmp_path / "bin" / "python3", "echo 3.11")
    assert setup.find_python() == (str(python), "3.11")


def test_a_python_that_cannot_make_environments_is_passed_over(
    setup: ModuleType, tmp_path: Path
) -> None:
    no_venv = 'case "$2" in *ensurepip*) exit 1 ;; *) echo 3.13 ;; esac'
    executable(tmp_path / "bin" / "python3", no_venv)
    with pytest.raises(setup.SetupError, match="with venv"):
        setup.find_python()


def test_an_interpreter_that_does_not_start_is_passed_over(
    setup: ModuleType, tmp_path: Path
) -> None:
    executable(tmp_path / "bin" / "python3.13", "exit 127")
    good = executable(tmp_path / "bin" / "python3.12", "echo 3.12")
    assert setup.find_python() == (str(good), "3.12")


def test_no_java_is_named_with_the_remedy(setup: ModuleType) -> None:
    with pytest.raises(setup.SetupError, match=r"needs Java 17 or 21, found no Java: .*apt-get"):
        setup.find_java()


def test_a_wrong_java_is_named_and_a_right_one_found_beside_it(
    setup: ModuleType, tmp_path: Path
) -> None:
    executable(tmp_path / "jvm" / "old" / "bin" / "java", "echo 'openjdk version \"11.0.2\"' >&2")
    with pytest.raises(setup.SetupError, match="found Java 11: install one"):
        setup.find_java()
    right = tmp_path / "jvm" / "new"
    executable(right / "bin" / "java", "echo 'openjdk version \"21.0.1\"' >&2")
    assert setup.find_java() == str(right)


def test_a_jar_must_have_the_locked_checksum(
    setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_what_is_missing_is_a_line_each_and_exit_code_1(
    setup: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["setup.py", "redis", "browser"])
    assert setup.main() == 1
    java, python, redis, browser = capsys.readouterr().err.splitlines()
    assert java.startswith("setup: Spark needs Java 17 or 21, found no Java: install one")
    assert python.startswith("setup: no Python 3.13, 3.12 or 3.11 with venv on PATH")
    assert redis.startswith("setup: the tests need redis-server on PATH: install it")
    assert browser.startswith("setup: the tests need Chromium on PATH: install it")


# What a small system has of the commands that are called; apt-get is made below.
TOOLS = ("sh", "bash", "make", "dirname", "tr", "sort", "cat", "chmod", "cp")
RELEASES: dict[str, tuple[set[str], str]] = {
    "Debian 13": (
        {"python3", "python3.13", "openjdk-21-jre-headless"},
        "chromium openjdk-21-jre-headless python3 python3.13 python3.13-venv redis-server",
    ),
    "Debian 12": (
        {"python3", "python3.11", "openjdk-17-jre-headless"},
        "chromium gcc openjdk-17-jre-headless python3 python3.11 python3.11-dev python3.11-venv "
        "redis-server",
    ),
    "no package lists": (set(), "chromium default-jre-headless python3 python3-venv redis-server"),
}


class Machine:
    """A checkout on a machine with Debian's packages, whose PATH holds stand-ins."""

    def __init__(self, folder: Path, known: set[str], user: str = "0") -> None:
        self.folder, self.bin = folder, folder / "bin"
        shutil.copytree(ROOT / "infra", folder / "infra", ignore=shutil.ignore_patterns("*.lock"))
        shutil.copy(ROOT / "Makefile", folder)
        (folder / "known").write_text("".join(f"{name}\n" for name in known))
        self.bin.mkdir()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(str(shutil.which(tool)))
        executable(self.bin / "id", f"echo {user}")
        executable(
            self.bin / "apt-cache",
            f'while read -r name; do [ "$name" = "$2" ] && exit 0; done <{folder}/known; exit 1',
        )
        # The packages' programs: a Python that does what the stub of set-up asks, and the others.
        executable(
            self.bin / "apt-get",
            f"""echo "$*" >>{folder}/calls
[ -e {folder}/offline ] && exit 100
case "$*" in
*python3*) printf '#!/bin/sh\\necho "set-up of $2" >>{folder}/calls\\n' >{self.bin}/python3
           chmod +x {self.bin}/python3 ;;
esac""",
        )

    def make(self, target: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.bin / "make", target],
            cwd=self.folder,
            env={"PATH": str(self.bin), "HOME": str(self.folder), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize("release", RELEASES)
def test_a_bare_machine_gets_what_it_lacks_after_a_word(tmp_path: Path, release: str) -> None:
    known, packages = RELEASES[release]
    machine = Machine(tmp_path, known)
    done = machine.make("test")
    install = f"install -y --no-install-recommends {packages}"
    assert machine.calls[:2] == ["update -qq", f"{install} -qq"]
    assert machine.calls[2].startswith("set-up of ")
    assert done.stdout.splitlines()[:2] == [
        "setup: the system lacks python java redis browser: installing it with apt-get "
        "(TOPSHELF_NO_SYSTEM=1 forbids it)",
        f"setup: apt-get {install}",
    ]


def test_the_demo_needs_neither_redis_nor_a_browser(tmp_path: Path) -> None:
    machine = Machine(tmp_path, RELEASES["Debian 13"][0])
    machine.make("demo")
    assert machine.calls[1] == (
        "install -y --no-install-recommends openjdk-21-jre-headless python3 python3.13 "
        "python3.13-venv -qq"
    )


@pytest.mark.parametrize(
    ("user", "environment", "reason", "sudo"),
    [
        ("0", {"TOPSHELF_NO_SYSTEM": "1"}, "and TOPSHELF_NO_SYSTEM forbids to install it", ""),
        ("1000", {}, "which only root can install", "sudo "),
    ],
)
def test_where_nothing_may_be_installed_one_line_says_what_would(
    tmp_path: Path, user: str, environment: dict[str, str], reason: str, sudo: str
) -> None:
    known, packages = RELEASES["Debian 13"]
    machine = Machine(tmp_path, known, user)
    done = machine.make("test", **environment)
    assert done.returncode == 2
    assert machine.calls == []
    assert done.stderr.splitlines()[0] == (
        f"setup: the system lacks python java redis browser, {reason}: {sudo}apt-get update && "
        f"{sudo}apt-get install -y --no-install-recommends {packages}"
    )


def test_a_mirror_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    machine = Machine(tmp_path, set())
    (tmp_path / "offline").touch()
    done = machine.make("setup")
    assert done.returncode == 2
    assert "setup: apt-get update failed (output above)." in done.stderr
    assert machine.calls == ["update -qq"]


def test_set_up_lets_the_system_s_packages_bring_only_what_is_missing(
    setup: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["setup.py", "redis", "browser"])
    executable(tmp_path / "bin" / "python3", "echo 3.12")
    executable(tmp_path / "bin" / "redis-server", "exit 0")
    executable(tmp_path / "bin" / "google-chrome", "exit 0")
    executable(tmp_path / "bin" / "apt-get", "exit 0")
    executable(tmp_path / "bin" / "sh", 'echo "$@"; exit 1')
    assert setup.main() == 1
    captured = capfd.readouterr()
    assert captured.out == f"{setup.SYSTEM} java\n"
    assert captured.err == "setup: nothing was set up (reason above).\n"


def test_every_command_writes_for_its_owner_alone_and_closes_what_was_open(tmp_path: Path) -> None:
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
