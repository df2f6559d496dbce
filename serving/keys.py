"""API keys: made once, kept as hashes in a file of their own, compared in constant time.

A key is ``topshelf_ID_SECRET``. The id is public and finds the entry; of the secret, 32 random
bytes, only the SHA-256 is kept. A slow hash is for passwords that people choose: nobody guesses 256
random bits. The file is this user's alone (mode 600), as it says which keys there are.
"""

import hashlib
import hmac
import logging
import re
import secrets
import stat
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

from lakehouse.errors import ConfigurationError, DataError
from lakehouse.files import read_json, write_json
from lakehouse.locks import process_lock

Scope: TypeAlias = Literal["read", "events", "admin"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
LONGEST_NAME: Final = 60
# So often a server looks whether the file has changed: a revoked key ends so soon.
LOOK_SECONDS: Final = 1.0
_TOKEN: Final = re.compile(r"topshelf_([0-9a-f]{8})_([A-Za-z0-9_-]{43})")
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_WAIT_SECONDS: Final = 10.0
# What no file has: it is to be read again.
_UNREAD: Final = (-1, -1, -1)
_REMEDY: Final = "Take it away and make new keys (`topshelf keys add`)."


logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Key:
    """A key without its secret; ``created`` is a UTC time in ISO 8601."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    sha256: str
    created: str


def add_key(path: Path, name: str, scopes: Collection[Scope], *, created: str) -> tuple[Key, str]:
    """Make a key and keep its hash; the text to give to whoever may use it is shown only now.

    Raises ``ConfigurationError`` for a name or scopes that are not valid.
    """
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise ConfigurationError(f"a key's name is 1 to {LONGEST_NAME} printable characters.")
    if not scopes or not set(scopes) <= set(SCOPES):
        raise ConfigurationError(f"a key's scopes are among {', '.join(SCOPES)}; give one or more.")
    secret = secrets.token_urlsafe(32)
    ordered = tuple(scope for scope in SCOPES if scope in scopes)
    key = Key(secrets.token_hex(4), name, ordered, _digest(secret), created)
    with process_lock(_lock(path), wait_seconds=_WAIT_SECONDS):
        _write(path, (*read_keys(path), key))
    return key, f"topshelf_{key.id}_{secret}"


def revoke_key(path: Path, key_id: str) -> Key:
    """Take a key away; raises ``ConfigurationError`` where there is none of that id."""
    with process_lock(_lock(path), wait_seconds=_WAIT_SECONDS):
        keys = read_keys(path)
        for key in keys:
            if key.id == key_id:
                _write(path, tuple(other for other in keys if other != key))
                return key
    raise ConfigurationError(f"{path} has no key {key_id!r}; `topshelf keys list` shows them.")


def read_keys(path: Path) -> tuple[Key, ...]:
    """The keys of the file; none where there is no file.

    Raises ``ConfigurationError`` where others may read it, or this user may not, and ``DataError``
    where it is damaged.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error.strerror}. Mend its permissions (`chmod 600 {path}`)."
        ) from error


def _read(path: Path) -> tuple[Key, ...]:
    mode = path.stat().st_mode
    if mode & _OTHERS:
        raise ConfigurationError(
            f"{path} may be read by others (mode {stat.S_IMODE(mode):o}). `chmod 600 {path}`, and "
            "think about new keys."
        )
    content = read_json(path, _REMEDY)
    try:
        return tuple(_key(**entry) for entry in content["keys"])
    except (KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged: it holds no keys. {_REMEDY}") from error


class KeyRing:
    """The keys of a file, as it is now, for a server that checks one with each request."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the file; raises what ``read_keys`` raises."""
        self._path = path
        self._clock = clock
        self._stamp = _stamp(path)
        self._keys = {key.id: key for key in read_keys(path)}
        self._looked = clock()

    def find(self, token: str) -> Key | None:
        """The key that a text is of, ``None`` where there is none.

        The hashes are compared in constant time, and where there is no such id one is compared too.
        A file that cannot be read any more leaves no key, as a revoked one may be in it, until it
        can; the log says so.
        """
        if self._clock() - self._looked > LOOK_SECONDS:
            self._look()
        match = _TOKEN.fullmatch(token)
        key_id, secret = match.groups() if match else ("", "")
        key = self._keys.get(key_id)
        is_right = hmac.compare_digest(_digest(secret), key.sha256 if key else _digest("nobody's"))
        return key if is_right else None

    def _look(self) -> None:
        self._looked = self._clock()
        stamp = _stamp(self._path)
        if stamp != self._stamp:
            try:
                self._keys = {key.id: key for key in read_keys(self._path)}
                self._stamp = stamp
            except (ConfigurationError, DataError) as error:
                if self._stamp is not _UNREAD:
                    logger.error("no API key is taken: %s", error)  # noqa: TRY400
                self._keys = {}
                self._stamp = _UNREAD


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _key(**entry: Any) -> Key:  # noqa: ANN401 (checked by the caller's try)
    return Key(**entry | {"scopes": tuple(entry["scopes"])})


def _write(path: Path, keys: tuple[Key, ...]) -> None:
    write_json(path, {"keys": [asdict(key) for key in keys]})
    path.chmod(0o600)


def _lock(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_mode
