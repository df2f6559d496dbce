"""Releases in LMDB: one immutable file each, and two small files that are replaced by renaming.

    CURRENT                        the pointer, JSON with its own CRC-32
    DENIED                         the deny list, see ``serving.format.denials``
    releases/RELEASE.json          the seal: manifest, file, the CRC-32 of both and its own;
                                   without it, no release
    releases/RELEASE.DIGEST.mdb    the records
    releases/.*, .CURRENT.*, .DENIED.*   what somebody is writing
    publish.lock, pointer.lock, denied.lock
    .shop                          the name of the shop whose releases these are

Files are never changed, only replaced, so readers take no locks, and a file dropped while mapped
stays readable until its reader lets go. A reader checks a file's CRC when it opens it (at memory
speed), because LMDB trusts what it maps: a damaged page could hide a key or crash the process. The
records' own checksums find what breaks later.
"""

import errno
import glob
import json
import os
import re
import shutil
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self, TypeAlias

import lmdb

from lakehouse.errors import InfrastructureError
from lakehouse.files import put, write_text
from lakehouse.locks import process_lock
from lakehouse.ownership import check_owner, claim
from serving.format.denials import HEAD_BYTES, DenyList
from serving.format.records import (
    DamagedReleaseError,
    Record,
    Summary,
    add_checksum,
    summarise,
    without_checksum,
)
from serving.format.releases import Manifest, Pointer
from serving.stores.store import (
    Reading,
    batches,
    deny_list_is_damaged,
    differs_from_manifest,
    no_current_release,
)

PUBLISH_WAIT_SECONDS: Final = 600.0
POINTER_WAIT_SECONDS: Final = 30.0
LIMIT_BYTES: Final = 64 << 30
_PAGE_BYTES: Final = 4096
_SPARE_BYTES: Final = 1 << 20
_BATCH_RECORDS: Final = 1_000
_CHUNK_BYTES: Final = 1 << 20
_READ_ATTEMPTS: Final = 5


class LmdbStore:
    """A folder of LMDB files, one per release; see ``serving.stores.store.Store``."""

    def __init__(self, folder: Path, shop: str, *, limit_bytes: int = LIMIT_BYTES) -> None:
        """Use the shop's store in ``folder``; no release may take more than ``limit_bytes``.

        Raises ``ConfigurationError`` where the folder belongs to another shop.
        """
        check_owner(folder, shop)
        self._folder = folder
        self._shop = shop
        self._releases = folder / "releases"
        # Each look-up asks for these: made once.
        self._pointer_path = folder / "CURRENT"
        self._denied_path = folder / "DENIED"
        self._limit_bytes = limit_bytes
        self._view = _View(None, Pointer())
        self._denied = _Denied()

    @property
    def name(self) -> str:
        """The address, ``lmdb:FOLDER``."""
        return f"lmdb:{self._folder}"

    @property
    def is_local(self) -> bool:
        """See ``Store``."""
        return True

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """See ``Store``: a lock that the kernel drops when its holder dies."""
        with self._locked("publish.lock", PUBLISH_WAIT_SECONDS):
            with self._naming_limits():
                self._clear_leftovers()
            yield

    def write(self, manifest: Manifest, records: Iterable[Record]) -> None:
        """See ``Store``: a new file, then the seal that names it."""
        release = manifest.release
        staged = self._releases / f".staging.{release}.mdb"
        path = self._releases / f"{release}.{manifest.checksum[:12]}.mdb"
        try:
            with self._naming_limits():
                _load(staged, records, self._limit_bytes)
                found = _summary_of(staged)
                if found != manifest.summary:
                    raise InfrastructureError(differs_from_manifest(self.name, manifest, found))
                seal = _Seal(manifest, path.name, _crc_of(staged, manifest))
                put(staged, path)
                write_text(self._seal_path(release), seal.to_json())
                self._delete_files(release, except_for=path)
        finally:
            staged.unlink(missing_ok=True)
            self._view.files.pop(release, None)

    def update(self, change: Callable[[Pointer], Pointer]) -> Pointer:
        """See ``Store``."""
        with self._locked("pointer.lock", POINTER_WAIT_SECONDS):
            before = self._look()
            after = change(before.pointer)
            content = add_checksum(after.to_json())
            if after != before.pointer or before.content not in (None, content.encode()):
                self._replace(self._pointer_path, content)
            return after

    def pointer(self) -> Pointer:
        """See ``Store``."""
        return self._look().pointer

    def deny(self, change: Callable[[DenyList], DenyList]) -> DenyList:
        """See ``Store``."""
        with self._locked("denied.lock", POINTER_WAIT_SECONDS):
            before = self.denials()
            after = change(before)
            if after != before:
                self._replace(self._denied_path, after.to_bytes().decode())
            return after

    def denials(self) -> DenyList:
        """See ``Store``."""
        stored = _content(self._denied_path)
        return DenyList() if stored is None else self._parse_denials(stored)

    def manifests(self) -> Mapping[str, Manifest]:
        """See ``Store``."""
        return {name: seal.manifest for name, seal in self._seals().items() if seal is not None}

    def damaged(self) -> tuple[str, ...]:
        """See ``Store``."""
        return tuple(name for name, seal in self._seals().items() if seal is None)

    def read(
        self,
        keys: Sequence[bytes],
        release: str | None = None,
        *,
        fallbacks: Sequence[bytes] = (),
        user: str | None = None,
    ) -> Reading:
        """See ``Store``."""
        for _ in range(_READ_ATTEMPTS):
            view = self._look()
            name = release or next(iter(view.pointer.serving(user)), None)
            if name is None:
                raise InfrastructureError(no_current_release(self.name))
            try:
                file = self._open(name, view)
            except FileNotFoundError:
                continue  # Dropped or replaced since the pointer was read: look again.
            values = file.read(keys)
            instead = file.read(fallbacks) if None in values else ()
            # Looked at last: what was denied before this call is denied in its answer.
            return Reading(name, values, instead, self._denied_items())
        raise DamagedReleaseError(f"release {name} is missing")

    def records(self, release: str) -> Iterator[Record]:
        """See ``Store``; the iterator keeps the release readable after it was dropped."""
        try:
            return self._open(release, self._look()).records()
        except FileNotFoundError:
            raise DamagedReleaseError(f"release {release} is missing") from None

    def drop(self, releases: Sequence[str]) -> None:
        """See ``Store``."""
        with self._locked("pointer.lock", POINTER_WAIT_SECONDS), self._naming_limits():
            pointer = self.pointer()
            for release in releases:
                if release not in (pointer.current, pointer.candidate):
                    self._seal_path(release).unlink(missing_ok=True)
                    self._delete_files(release)
                    self._view.files.pop(release, None)

    def close(self) -> None:
        """See ``Store``."""
        self._view = _View(None, Pointer())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _seal_path(self, release: str) -> Path:
        return self._releases / f"{release}.json"

    def _seals(self) -> dict[str, "_Seal | None"]:
        """The seals by release; ``None`` where one is not readable."""
        seals: dict[str, _Seal | None] = {}
        for path in sorted(self._releases.glob("[!.]*.json")):
            try:
                seals[path.stem] = _Seal.read(path)
            except FileNotFoundError:
                continue  # Dropped since it was found.
            except DamagedReleaseError:
                seals[path.stem] = None
        return seals

    def _delete_files(self, release: str, *, except_for: Path | None = None) -> None:
        for path in self._releases.glob(f"{glob.escape(release)}.*.mdb"):
            if path != except_for:
                path.unlink(missing_ok=True)

    def _clear_leftovers(self) -> None:
        wanted = set()
        for release, seal in self._seals().items():
            wanted.add(self._seal_path(release))
            wanted |= (
                set(self._releases.glob(f"{glob.escape(release)}.*.mdb"))
                if seal is None
                else {self._releases / seal.file}
            )
        for path in self._releases.iterdir():
            if path not in wanted:
                path.unlink(missing_ok=True)

    def _look(self) -> "_View":
        """The pointer as it is now.

        When it has moved, files opened before are forgotten but for those of releases that it names
        as serving or having served: to open one reads all of it.
        """
        path, view = self._pointer_path, self._view
        content = _content(path)
        if content != view.content:
            try:
                pointer = (
                    Pointer() if content is None else Pointer.from_json(without_checksum(content))
                )
            except ValueError as error:
                raise InfrastructureError(
                    f"{path} is damaged. Delete it, then run `topshelf rollback --to RELEASE` "
                    "(`topshelf releases` lists them)."
                ) from error
            named = (*pointer.history, pointer.candidate)
            kept = {name: file for name, file in [*view.files.items()] if name in named}
            view = self._view = _View(content, pointer, kept)
        return view

    def _denied_items(self) -> frozenset[str]:
        """The items denied now; the deny list is parsed again only where its head is another."""
        known = self._denied
        if _content(self._denied_path, HEAD_BYTES) == known.head:
            return known.items
        stored = _content(self._denied_path)
        if stored is None:
            known = self._denied = _Denied()
        else:
            known = self._denied = _Denied(stored[:HEAD_BYTES], self._parse_denials(stored).items)
        return known.items

    def _parse_denials(self, stored: bytes) -> DenyList:
        try:
            return DenyList.from_bytes(stored)
        except ValueError as error:
            path = self._denied_path
            raise InfrastructureError(deny_list_is_damaged(str(path), f"rm {path}")) from error

    def _replace(self, path: Path, content: str) -> None:
        """Replace a small file whose lock is held, and clear what a killed holder left of it."""
        with self._naming_limits():
            for leftover in self._folder.glob(f".{path.name}.*"):
                leftover.unlink(missing_ok=True)
            write_text(path, content)

    def _open(self, release: str, view: "_View") -> "_ReleaseFile":
        """The release's file, as sealed now; a damaged one is not read again before the next seal.

        Raises ``FileNotFoundError`` where seal or file is missing.
        """
        opened = view.files.get(release)
        path = self._seal_path(release) if opened is None else opened.seal
        try:
            stamp = _stamp(path)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise DamagedReleaseError(
                f"release {release}: its seal is not readable: {error}"
            ) from error
        if opened is None or opened.stamp != stamp:
            opened = view.files[release] = _Opened(path, stamp, _open_intact(path))
        if opened.file is None:
            raise DamagedReleaseError(
                f"release {release}: its file's checksum does not match "
                f"({self._releases / release}.*.mdb)"
            )
        return opened.file

    @contextmanager
    def _locked(self, lock: str, wait_seconds: float) -> Iterator[None]:
        with ExitStack() as held:
            with self._naming_limits():
                self._releases.mkdir(parents=True, exist_ok=True)
            claim(self._folder, self._shop)
            with self._naming_limits():
                held.enter_context(process_lock(self._folder / lock, wait_seconds=wait_seconds))
            yield

    @contextmanager
    def _naming_limits(self) -> Iterator[None]:
        """Say which limit stopped a write; the pointer has not moved then."""
        try:
            yield
        except lmdb.MapFullError as error:
            raise InfrastructureError(
                f"{self.name}: the release needs more than the limit of {self._limit_bytes:,} "
                "bytes a release. Publish shorter lists (recommend.size); nothing was switched."
            ) from error
        except (OSError, lmdb.Error) as error:
            raise InfrastructureError(self._disk_failure(error)) from error

    def _disk_failure(self, error: Exception) -> str:
        number = error.errno if isinstance(error, OSError) else getattr(error, "code", None)
        free = shutil.disk_usage(self._folder).free
        # LMDB calls a write that the full disk cut short an I/O error.
        cut_short = number == errno.EIO and free < _SPARE_BYTES
        if cut_short or number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return (
                f"{self.name}: the disk is full or over its quota ({free:,} bytes free). Free "
                "space or lower serving.keep_releases, then publish again; nothing was switched."
            )
        return (
            f"{self.name}: cannot write: {error}. Mend the folder or its permissions, then run "
            "again; nothing was switched."
        )


@dataclass(frozen=True, slots=True)
class _View:
    """What a reader knows: the pointer, as read and as parsed, and the files opened under it."""

    content: bytes | None
    pointer: Pointer
    files: dict[str, "_Opened"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Denied:
    """What a reader knows of the deny list: its head, ``None`` where there is no file."""

    head: bytes | None = None
    items: frozenset[str] = frozenset()


_Stamp: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _Opened:
    """A release's file, ``None`` if damaged, and the seal that it was opened by, with its stamp.

    A release that is written anew gets another seal: that is how its readers notice.
    """

    seal: Path
    stamp: _Stamp
    file: "_ReleaseFile | None"


@dataclass(frozen=True, slots=True)
class _Seal:
    """What makes a file a release: its manifest, name, and the CRC-32 of both."""

    manifest: Manifest
    file: str
    crc: int

    def to_json(self) -> str:
        content = {"manifest": self.manifest.to_json(), "file": self.file, "crc32": self.crc}
        return add_checksum(json.dumps(content))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises ``DamagedReleaseError`` for content that ``to_json`` did not write."""
        try:
            content = json.loads(without_checksum(path.read_bytes()))
            manifest = Manifest.from_json(content.pop("manifest"))
            seal = cls(manifest, content.pop("file"), content.pop("crc32"))
        except FileNotFoundError:
            raise
        except (OSError, ValueError, KeyError, TypeError, DamagedReleaseError) as error:
            raise DamagedReleaseError(f"release {path.stem}: its seal is not readable") from error
        named = re.fullmatch(rf"{re.escape(path.stem)}\.[0-9a-f]+\.mdb", str(seal.file))
        if content or named is None or manifest.release != path.stem:
            raise DamagedReleaseError(f"release {path.stem}: its seal is not that of its name")
        return seal


class _ReleaseFile:
    """One release's records, mapped for reading."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._environment = lmdb.open(os.fspath(path), subdir=False, readonly=True, lock=False)

    def read(self, keys: Sequence[bytes]) -> tuple[bytes | None, ...]:
        try:
            with self._environment.begin() as transaction:
                return tuple(transaction.get(key) for key in keys)
        except lmdb.Error as error:
            raise DamagedReleaseError(f"LMDB refuses a page: {error}") from error

    def records(self) -> Iterator[Record]:
        try:
            with self._environment.begin() as transaction, transaction.cursor() as cursor:
                yield from cursor
        except lmdb.Error as error:
            raise DamagedReleaseError(f"LMDB refuses a page: {error}") from error


_mapped: dict[tuple[int, int], _ReleaseFile] = {}
"""This process's mapped releases by device and inode, as LMDB refuses to map a file twice.

They stay until their file is deleted: closing one sooner could race with another thread's opening.
"""
_mapping = threading.Lock()


def _open_intact(seal_path: Path) -> _ReleaseFile | None:
    """Map a sealed file; ``None`` where its CRC-32 is not the seal's.

    Raises ``FileNotFoundError`` where seal or file is missing.
    """
    seal = _Seal.read(seal_path)
    path = seal_path.with_name(seal.file)
    try:
        return _map(path) if _crc_of(path, seal.manifest) == seal.crc else None
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DamagedReleaseError(
            f"release {seal_path.stem}: its file is not readable: {error}"
        ) from error


def _map(path: Path) -> _ReleaseFile:
    """The mapped file at ``path``; forgets those that were deleted."""
    with _mapping:
        for identity, mapped in list(_mapped.items()):
            if not mapped.path.exists() or _identity(mapped.path) != identity:
                del _mapped[identity]
        identity = _identity(path)
        if identity not in _mapped:
            try:
                _mapped[identity] = _ReleaseFile(path)
            except lmdb.Error as error:
                if not path.exists():
                    raise FileNotFoundError(path) from error
                raise InfrastructureError(
                    f"{path} is intact but cannot be mapped: {error}. Look at this process's "
                    "limits (`ulimit -a`), then try again."
                ) from error
        return _mapped[identity]


def _content(path: Path, first_bytes: int | None = None) -> bytes | None:
    """The bytes of a small file, or only its first; ``None`` where there is none.

    By the system's own calls, which take half as long as a file object: each look-up asks twice.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _not_readable(path, error) from error
    try:
        return os.read(handle, first_bytes or os.fstat(handle).st_size)
    except OSError as error:
        raise _not_readable(path, error) from error
    finally:
        os.close(handle)


def _not_readable(path: Path, error: OSError) -> InfrastructureError:
    remedy = "`topshelf rollback --to RELEASE`" if path.name == "CURRENT" else "`topshelf deny`"
    return InfrastructureError(
        f"cannot read {path}: {error.strerror}. Mend its permissions; if that does not help, "
        f"delete it, then run {remedy}."
    )


def _stamp(path: Path) -> _Stamp:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _load(path: Path, records: Iterable[Record], limit_bytes: int) -> None:
    """Write ``records`` (in key order) to a new LMDB file and force it to the disk.

    The map is only as large as the records so far can need. It isn't ``writemap``: with that, a
    full disk would kill the process instead of raising an error.
    """
    size = _SPARE_BYTES
    with lmdb.open(
        os.fspath(path),
        subdir=False,
        lock=False,
        sync=False,
        map_size=min(size, limit_bytes),
        mode=0o600,
    ) as environment:
        for batch in batches(records, _BATCH_RECORDS):
            size += sum(_bytes_needed(*record) for record in batch)
            environment.set_mapsize(min(size, limit_bytes))
            with environment.begin(write=True) as transaction:
                for key, value in batch:
                    transaction.put(key, value, append=True)
        environment.sync(True)


def _bytes_needed(key: bytes, value: bytes) -> int:
    """An upper bound: twice the record's place in a page, or pages of its own for a long value."""
    node = 2 * (len(key) + 32)
    if len(value) < _PAGE_BYTES // 4:
        return node + 2 * len(value)
    return node + (len(value) // _PAGE_BYTES + 2) * _PAGE_BYTES


def _summary_of(path: Path) -> Summary:
    return summarise(_ReleaseFile(path).records())


def _crc_of(path: Path, manifest: Manifest) -> int:
    crc = zlib.crc32(manifest.to_json().encode())
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            crc = zlib.crc32(chunk, crc)
    return crc
