"""Set the project up: `.venv` from the lock, the Delta jars, Spark's configuration.

Runs under any Python from 3.8 with the standard library alone. `infra/system.sh` installs what the
system itself lacks: Python, Java and, with the arguments `redis` and `browser`, redis-server and
Chromium. Everything else lies in the checkout (`.venv`, `.topshelf`) or in the package managers'
caches. A stamp, written last, makes a second run a matter of milliseconds and lets a killed one be
run again.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STATE = ROOT / ".topshelf"
JARS = STATE / "jars"
SPARK_CONF = STATE / "spark-conf"
VENV_STAMP = VENV / "lock.stamp"
PROJECT_STAMP = VENV / "project.stamp"
UV_INSTALL = [str(VENV / "bin" / "uv"), "pip", "install", "--compile-bytecode"]
LOCK = ROOT / "infra" / "requirements.lock"
INSTALLER_LOCK = ROOT / "infra" / "installer.lock"
PYPROJECT = ROOT / "pyproject.toml"
JARS_LOCK = ROOT / "infra" / "jars.lock"
SYSTEM = ROOT / "infra" / "system.sh"
SPARK_TEMPLATE = ROOT / "infra" / "spark" / "spark-defaults.conf"

PYTHONS = ("3.13", "3.12", "3.11")
JAVAS = (21, 17)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
JAVA_FOLDERS = (Path("/usr/lib/jvm"), Path("/Library/Java/JavaVirtualMachines"))
DELTA = "io.delta:delta-spark_4.2_2.13:4.4.0"


class SetupError(Exception):
    """What is missing, and how to get it, in one line."""


class SystemLacksError(SetupError):
    """Something that the system's packages have; ``what`` is its name for `infra/system.sh`."""

    def __init__(self, what: str, message: str) -> None:
        super().__init__(message)
        self.what = what


def say(message: str) -> None:
    print("setup: " + message, flush=True)


def python_version(executable: Path | str) -> str | None:
    """`3.13` for an interpreter that starts and can make environments, otherwise None."""
    # Debian's python3 lacks ensurepip until python3-venv is installed.
    code = "import ensurepip, sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run(
            [str(executable), "-c", code],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def python_candidates(version: str) -> Iterator[str | Path]:
    """Interpreters that may be this version: on PATH, under pyenv, known to uv."""
    for name in ("python" + version, "python3"):
        found = shutil.which(name)
        if found:
            yield found
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    yield from sorted(pyenv.glob(version + ".*/bin/python"), reverse=True)
    uv = shutil.which("uv")
    if uv:
        found = subprocess.run(
            [uv, "python", "find", "--no-python-downloads", version],
            capture_output=True,
            text=True,
            check=False,
        )
        if found.returncode == 0:
            yield found.stdout.strip()


def can_compile(python: str | Path) -> bool:
    """Whether there is a C compiler, and the interpreter's headers."""
    code = "import os, sysconfig as s; os.stat(os.path.join(s.get_path('include'), 'Python.h'))"
    return any(map(shutil.which, ("cc", "gcc", "clang"))) and not subprocess.call(
        [str(python), "-c", code], stderr=subprocess.DEVNULL
    )


@functools.lru_cache(maxsize=None)  # noqa: UP033 (the running Python may be 3.8)
def find_python() -> tuple[str, str]:
    """The best interpreter and its version; raises SystemLacksError."""
    for version in PYTHONS:
        for candidate in python_candidates(version):
            if python_version(candidate) == version:
                if version == "3.11" and not can_compile(candidate):
                    raise SystemLacksError(
                        "compiler",
                        "Python 3.11 needs a C compiler and its headers to build LightFM: install "
                        "gcc and python3-dev, or Python 3.12 or 3.13.",
                    )
                return str(candidate), version
    raise SystemLacksError(
        "python",
        "no Python 3.13, 3.12 or 3.11 with venv on PATH, under pyenv or known to uv: install one "
        "(Debian: apt-get install python3 python3-venv; any system: pyenv install 3.13).",
    )


def java_version(executable: Path) -> int | None:
    """The major version of a Java that starts, otherwise None."""
    try:
        done = subprocess.run(
            [str(executable), "-version"], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    match = re.search(r'version "(\d+)', done.stderr)
    return int(match.group(1)) if match else None


@functools.lru_cache(maxsize=None)  # noqa: UP033
def find_java() -> str:
    """JAVA_HOME of a Java 21 or 17; raises SystemLacksError naming what was found instead."""
    homes = [os.environ["JAVA_HOME"]] if os.environ.get("JAVA_HOME") else []
    on_path = shutil.which("java")
    if on_path:
        homes.append(Path(on_path).resolve().parent.parent)
    for folder in JAVA_FOLDERS:
        homes += sorted([*folder.glob("*"), *folder.glob("*/Contents/Home")], reverse=True)
    versions = [(java_version(Path(home) / "bin" / "java"), str(home)) for home in homes]
    for version, home in versions:
        if version in JAVAS:
            return home
    found = ", ".join(sorted({f"Java {v}" for v, _ in versions if v})) or "no Java"
    raise SystemLacksError(
        "java",
        f"Spark needs Java 17 or 21, found {found}: install one (Debian 12: apt-get install "
        "openjdk-17-jre-headless; Fedora: dnf install java-21-openjdk-headless; macOS: brew "
        "install openjdk@21) or set JAVA_HOME.",
    )


def find_redis() -> str:
    """The redis-server that the tests start; raises SystemLacksError."""
    found = shutil.which("redis-server")
    if not found:
        raise SystemLacksError(
            "redis",
            "the tests need redis-server on PATH: install it (Debian: apt-get install "
            "redis-server; Fedora: dnf install redis; macOS: brew install redis).",
        )
    return found


def find_browser() -> str:
    """The Chromium that the tests look at pages with; raises SystemLacksError."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not found:
        raise SystemLacksError(
            "browser",
            "the tests need Chromium on PATH: install it (Debian: apt-get install chromium; "
            "Fedora: dnf install chromium) or Google Chrome.",
        )
    return found


# What only the tests need, by the names that set-up is given.
FOR_TESTS = {"redis": find_redis, "browser": find_browser}


def lacking(also: list[str]) -> list[SystemLacksError]:
    """What the system lacks; ``also`` are keys of ``FOR_TESTS``."""
    errors = []
    for find in (find_java, find_python, *(FOR_TESTS[name] for name in also)):
        try:
            find()
        except SystemLacksError as error:
            errors.append(error)
    return errors


def ensure_system(also: list[str]) -> None:
    """Install what the system lacks where its packages are Debian's.

    Raises SetupError where something is lacking still.
    """
    errors = lacking(also)
    if errors and shutil.which("apt-get"):
        if subprocess.call(["sh", str(SYSTEM), *(error.what for error in errors)]):
            raise SetupError("nothing was set up (reason above).")
        errors = lacking(also)
    if errors:
        raise SetupError("\nsetup: ".join(map(str, errors)))


def run_quietly(command: list[str], what: str, env: dict[str, str] | None = None) -> None:
    """Run a command and show its output only if it fails."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=env
    )
    if done.returncode:
        print(done.stdout[-6000:], file=sys.stderr)
        raise SetupError(f"{what} failed (output above).")


def digest(*parts: str | Path) -> str:
    """SHA-256 over texts and the contents of files."""
    total = hashlib.sha256()
    for part in parts:
        total.update(part.read_bytes() if isinstance(part, Path) else part.encode())
    return total.hexdigest()


def is_stamped(stamp: Path, value: str) -> bool:
    """Whether the stage that writes ``stamp`` last was finished from the same inputs."""
    return stamp.is_file() and stamp.read_text() == value


def uv_environment() -> dict[str, str]:
    """This environment for uv, which has names of its own for the settings people give to pip."""
    env = dict(os.environ, VIRTUAL_ENV=str(VENV))
    for pip_name, uv_name in (
        ("PIP_CERT", "SSL_CERT_FILE"),
        ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"),
        ("PIP_EXTRA_INDEX_URL", "UV_INDEX"),
    ):
        if os.environ.get(pip_name) and not os.environ.get(uv_name):
            env[uv_name] = os.environ[pip_name]
    return env


def ensure_venv(python: str, version: str) -> None:
    """Create `.venv` from the lock, afresh where the lock or the Python has changed."""
    wanted = digest(str(ROOT), version, LOCK, INSTALLER_LOCK)
    if is_stamped(VENV_STAMP, wanted):
        return
    say(f"creating .venv with Python {version}")
    if VENV.exists():
        shutil.rmtree(str(VENV))
    run_quietly([python, "-m", "venv", str(VENV)], "creating .venv (Debian: python3-venv)")
    own = str(VENV / "bin" / "python")
    pip = [own, "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    run_quietly([*pip, "--require-hashes", "-r", str(INSTALLER_LOCK)], "installing uv")
    say("installing the locked packages (about a minute)")
    run_quietly(
        [*UV_INSTALL, "--require-hashes", "-r", str(LOCK)], "installing the lock", uv_environment()
    )
    VENV_STAMP.write_text(wanted)


def ensure_project() -> None:
    """Install the project itself, editable, where its declaration has changed."""
    wanted = digest(PYPROJECT)
    if is_stamped(PROJECT_STAMP, wanted):
        return
    run_quietly(
        [*UV_INSTALL, "--no-deps", "--no-build-isolation", "-e", str(ROOT)],
        "installing the project",
        uv_environment(),
    )
    PROJECT_STAMP.write_text(wanted)


def wanted_jars() -> dict[str, str]:
    """File name -> SHA-256 of the jars that Spark lacks."""
    return {name: sha256 for sha256, name in map(str.split, JARS_LOCK.read_text().splitlines())}


def check_jars(folder: Path) -> None:
    """Raise SetupError naming a jar that is missing or not the locked one."""
    for name, sha256 in wanted_jars().items():
        jar = folder / name
        if not jar.is_file():
            raise SetupError(f"Delta jar {name} was not resolved; run `make setup` again.")
        if digest(jar) != sha256:
            raise SetupError(
                f"Delta jar {name} does not have the checksum of infra/jars.lock: delete "
                ".topshelf and run `make setup` again; if it persists, do not trust the mirror."
            )


def ensure_jars(java_home: str) -> None:
    """Let Spark resolve Delta once, and keep only the jars that Spark lacks."""
    try:
        check_jars(JARS)
    except SetupError:
        fetch_jars(java_home)


def fetch_jars(java_home: str) -> None:
    """Resolve Delta through Ivy below `.topshelf` and copy the locked jars.

    Raises SetupError where one is missing or does not have its checksum.
    """
    say("fetching the Delta jars")
    ivy = STATE / "ivy"
    code = (
        "from pyspark.sql import SparkSession as S;"
        f"S.builder.master('local[1]').config('spark.jars.packages', {DELTA!r})"
        f".config('spark.jars.ivy', {str(ivy)!r}).config('spark.ui.enabled', 'false')"
        ".getOrCreate().stop()"
    )
    env = dict(os.environ, JAVA_HOME=java_home, SPARK_LOCAL_IP="127.0.0.1")
    env.pop("SPARK_CONF_DIR", None)
    run_quietly([str(VENV / "bin" / "python"), "-c", code], "resolving the Delta jars", env=env)
    check_jars(ivy / "jars")
    JARS.mkdir(parents=True, exist_ok=True)
    for name in wanted_jars():
        shutil.copy2(str(ivy / "jars" / name), str(JARS / name))
    shutil.rmtree(str(ivy))


def configure_spark(java_home: str) -> None:
    """Write Spark's configuration with this machine's paths, and the Java to use."""
    SPARK_CONF.mkdir(parents=True, exist_ok=True)
    jars = ",".join(str(JARS / name) for name in wanted_jars())
    text = SPARK_TEMPLATE.read_text().replace("@JARS@", jars).replace("@STATE@", str(STATE))
    files = {
        "spark-defaults.conf": text,
        "log4j2.properties": (ROOT / "infra" / "spark" / "log4j2.properties").read_text(),
        "spark-env.sh": f"export JAVA_HOME={java_home}\n",
    }
    for name, content in files.items():
        path = SPARK_CONF / name
        if not path.is_file() or path.read_text() != content:
            path.write_text(content)


def main() -> int:
    """Set up what is not set up yet."""
    try:
        ensure_system(sys.argv[1:])
        java_home = find_java()
        python, version = find_python()
        ensure_venv(python, version)
        ensure_project()
        ensure_jars(java_home)
        configure_spark(java_home)
    except SetupError as error:
        print("setup: " + str(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
