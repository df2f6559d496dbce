"""The key-value stores that releases live in, behind one Protocol."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self
from urllib.parse import urlsplit

from lakehouse.errors import ConfigurationError
from serving.records import Record, Summary
from serving.releases import Manifest, Pointer


@dataclass(frozen=True, slots=True)
class Reading:
    """Values read from one release; ``None`` where it has no such key."""

    release: str
    values: tuple[bytes | None, ...]


class Store(Protocol):
    """A store of immutable releases and one pointer to the release that serves.

    Every method raises ``InfrastructureError``, naming the limit or what to do, where the disk or
    server fails; whatever served before goes on serving. Readers need no lock and never see a
    release that is not sealed.
    """

    @property
    def name(self) -> str:
        """The store's address as people may see it, without password."""
        ...

    def publishing(self) -> AbstractContextManager[None]:
        """Hold the sole right to ``write`` and ``drop``, and clear what killed publishers left.

        A second publisher waits for the first one.
        """
        ...

    def write(self, manifest: Manifest, records: Sequence[Record]) -> None:
        """Store ``records`` (in key order), read them back, compare with the manifest, seal.

        On return the release is listed; after a failure it is not. A release of the same name is
        replaced as a whole.
        """
        ...

    def update(self, change: Callable[[Pointer], Pointer]) -> Pointer:
        """Replace the pointer by ``change(pointer)`` as one atomic step; return the new pointer.

        Nothing is written where ``change`` returns its argument. Needs no ``publishing``.
        """
        ...

    def pointer(self) -> Pointer:
        """The pointer; an empty one where nothing was published."""
        ...

    def manifests(self) -> Mapping[str, Manifest]:
        """The manifests of the sealed releases, by release; unreadable ones are left out."""
        ...

    def damaged(self) -> tuple[str, ...]:
        """The names of the sealed releases whose manifest is not readable."""
        ...

    def read(self, keys: Sequence[bytes], release: str | None = None) -> Reading:
        """The values of ``keys``, all from one release: the current one or the one named.

        Raises ``DamagedReleaseError`` where that release is missing or not as published.
        """
        ...

    def records(self, release: str) -> Iterator[Record]:
        """All records of a release in key order.

        Raises ``DamagedReleaseError`` where that release is missing or not as published.
        """
        ...

    def drop(self, releases: Sequence[str]) -> None:
        """Delete releases; the current one is left where it is."""
        ...

    def close(self) -> None:
        """Give up files and connections."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def open_store(address: str, shop: str) -> Store:
    """The shop's releases at ``lmdb:PATH`` or ``redis://[USER:PASSWORD@]HOST[:PORT][/DB]``.

    ``rediss`` is for TLS. Nothing is created yet. Raises ``ConfigurationError`` for any other
    address and for a folder that belongs to another shop.
    """
    name = public_address(address)
    scheme, _, place = address.partition(":")
    if scheme == "lmdb":
        from serving.lmdb_store import LmdbStore  # noqa: PLC0415 (load one client only)

        return LmdbStore(Path(place), shop)
    from serving.redis_store import RedisStore  # noqa: PLC0415

    return RedisStore(address, name, shop)


def public_address(address: str) -> str:
    """A store's address as people may see it, without user and password.

    Raises ``ConfigurationError``, which quotes nothing of it, where it is not valid.
    """
    scheme, _, place = address.partition(":")
    if scheme == "lmdb":
        if not place or "\0" in place or re.match("//[^/]", place):
            raise ConfigurationError(
                "serving.store has no valid path; it must be `lmdb:PATH`, such as "
                "`lmdb:.topshelf/my_shop/store` or `lmdb:/srv/topshelf/store`."
            )
        return f"lmdb:{Path(place)}"
    if scheme in ("redis", "rediss"):
        return _public_redis_address(address)
    raise ConfigurationError(
        "serving.store must be `lmdb:PATH` or `redis://HOST:PORT/DB`. Correct it in the "
        "configuration or in TOPSHELF__SERVING__STORE."
    )


def _public_redis_address(address: str) -> str:
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None  # The error would quote a password with a wrong character in it.
    database = parts.path.removeprefix("/") or "0" if host else ""
    if (
        not host
        or port == 0
        or re.search(r"[\s\0-\x1f]", address)
        or re.fullmatch("[0-9]{1,9}", database) is None
    ):
        raise ConfigurationError(
            "serving.store is no valid Redis address; it must be "
            "`redis://[USER:PASSWORD@]HOST:PORT/DB`, special characters percent-encoded."
        )
    if parts.query or parts.fragment:
        raise ConfigurationError(
            "serving.store has options after `?` or `#`; it must end with the database, as in "
            "`redis://[USER:PASSWORD@]HOST:PORT/DB`. For a certificate authority of your own set "
            "SSL_CERT_FILE; percent-encode `?` and `#` in a password."
        )
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}:{port or 6379}/{int(database)}"


def no_current_release(store: str) -> str:
    """What to tell a reader who finds a store without a current release."""
    return (
        f"{store} has no current release: nothing was published, or the store was flushed. "
        "Run `topshelf publish --run-date D` for the newest night."
    )


def differs_from_manifest(store: str, manifest: Manifest, found: Summary) -> str:
    """What to tell a publisher whose records read back otherwise than they were written."""
    return (
        f"{store}: release {manifest.release} reads back as {found.records} records with checksum "
        f"{found.checksum[:12]}, but {manifest.records} with {manifest.checksum[:12]} were "
        "written. Check the disk or server, then publish again; nothing was switched."
    )
