"""Releases in Redis: one hash per release, and a pointer that scripts read and move atomically.

    topshelf:SHOP:pointer           hash: `current` release and `candidate` of a rollout; `state`,
                                    the whole pointer as JSON with its own CRC-32
    topshelf:SHOP:denied            the deny list, see ``serving.format.denials``
    topshelf:SHOP:manifests         hash: release -> manifest, as JSON with its own CRC-32; without
                                    it, no release
    topshelf:SHOP:records:RELEASE   hash: key -> value
    topshelf:SHOP:staging:TOKEN     what a publisher is writing; expires by itself
    topshelf:SHOP:publisher         the publisher's lease

A reader's script looks up pointer, deny list and values in one step of the server, so that no
switch and no drop comes between them. It gives the values of both releases while a rollout is on,
as it is the reader who says which users the candidate serves, and leaves out of pointer and deny
list what the reader knows. One key per release makes sealing, dropping and eviction all or nothing.
Scripts compute key names, so this is for a single server with replicas, not for Redis Cluster.
"""

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Self, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from lakehouse.errors import InfrastructureError
from serving.format.denials import HEAD_BYTES, DenyList
from serving.format.records import (
    DamagedReleaseError,
    Record,
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

CONNECT_SECONDS: Final = 2.0
ANSWER_SECONDS: Final = 5.0
LEASE_SECONDS: Final = 15.0
PUBLISH_WAIT_SECONDS: Final = 600.0
_POLL_SECONDS: Final = 0.2
_BATCH_RECORDS: Final = 500
_SWITCH_ATTEMPTS: Final = 20
_SWITCH_PAUSE: Final = 0.002  # Seconds, times the attempts so far.

_POINTER: Final = "pointer"
_DENIED: Final = "denied"
_MANIFESTS: Final = "manifests"
_RECORDS: Final = "records:"
_STAGING: Final = "staging:"
_PUBLISHER: Final = "publisher"

# All scripts: KEYS[1] what the keys of the shop begin with.
# ARGV: release or '', the mark of what the reader knows, number of keys, keys, fallbacks. Returns
# pointer's fields and deny list (nil where their mark is known), the values of the release named or
# the current one (nil if it has no records), and where none is named, of the candidate (nil also if
# there is none). Values end with those of the keys where all are there.
_READ: Final = f"""
local fields = redis.call('HMGET', KEYS[1] .. 'pointer', 'state', 'current', 'candidate')
local state, current, candidate = fields[1] or '', fields[2] or '', fields[3] or ''
local head = redis.call('GETRANGE', KEYS[1] .. 'denied', 0, {HEAD_BYTES - 1})
local news = state .. '\\0' .. current .. '\\0' .. candidate .. '\\0' .. head ~= ARGV[2]
    and {{state, current, candidate, redis.call('GET', KEYS[1] .. 'denied') or ''}}
local function values(release)
    local records, last = KEYS[1] .. 'records:' .. release, 3 + ARGV[3]
    local found = redis.call('HMGET', records, unpack(ARGV, 4, last))
    local is_whole = true
    for _, value in ipairs(found) do is_whole = is_whole and value end
    if is_whole then return found end
    if redis.call('EXISTS', records) == 0 then return false end
    for place = last + 1, #ARGV do
        found[#found + 1] = redis.call('HGET', records, ARGV[place])
    end
    return found
end
if ARGV[1] ~= '' then return {{news, values(ARGV[1]), false}} end
return {{news, values(current), candidate ~= '' and values(candidate)}}
"""

# ARGV: token, milliseconds. Returns 1 if the lease is still held.
_RENEW: Final = """
if redis.call('GET', KEYS[1] .. 'publisher') ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1] .. 'staging:' .. ARGV[1], ARGV[2])
return redis.call('PEXPIRE', KEYS[1] .. 'publisher', ARGV[2])
"""

# ARGV: token.
_GIVE_BACK: Final = """
redis.call('UNLINK', KEYS[1] .. 'staging:' .. ARGV[1])
if redis.call('GET', KEYS[1] .. 'publisher') == ARGV[1] then
    redis.call('DEL', KEYS[1] .. 'publisher')
end
"""

# ARGV: token, release, manifest, number of records. Returns 1 if sealed.
_SEAL: Final = """
local staging = KEYS[1] .. 'staging:' .. ARGV[1]
if redis.call('GET', KEYS[1] .. 'publisher') ~= ARGV[1] then return 0 end
if redis.call('HLEN', staging) ~= tonumber(ARGV[4]) then return 0 end
redis.call('HSET', KEYS[1] .. 'manifests', ARGV[2], ARGV[3])
redis.call('RENAME', staging, KEYS[1] .. 'records:' .. ARGV[2])
redis.call('PERSIST', KEYS[1] .. 'records:' .. ARGV[2])
return 1
"""

# ARGV: state before or '', state after, current release, candidate or ''. Returns 1 if switched.
_SWITCH: Final = """
local before = redis.call('HGET', KEYS[1] .. 'pointer', 'state') or ''
if before ~= ARGV[1] then return 0 end
if redis.call('EXISTS', KEYS[1] .. 'records:' .. ARGV[3]) == 0 then return 0 end
redis.call('HSET', KEYS[1] .. 'pointer', 'current', ARGV[3], 'state', ARGV[2])
if ARGV[4] == '' then
    redis.call('HDEL', KEYS[1] .. 'pointer', 'candidate')
else
    redis.call('HSET', KEYS[1] .. 'pointer', 'candidate', ARGV[4])
end
return 1
"""

# ARGV: deny list before or '', deny list after. Returns 1 if replaced.
_DENY: Final = """
if (redis.call('GET', KEYS[1] .. 'denied') or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1] .. 'denied', ARGV[2])
return 1
"""

# ARGV: releases.
_DROP: Final = """
local serving = redis.call('HMGET', KEYS[1] .. 'pointer', 'current', 'candidate')
for _, release in ipairs(ARGV) do
    if release ~= serving[1] and release ~= serving[2] then
        redis.call('HDEL', KEYS[1] .. 'manifests', release)
        redis.call('UNLINK', KEYS[1] .. 'records:' .. release)
    end
end
"""


class RedisStore:
    """A Redis database; see ``serving.stores.store.Store``."""

    def __init__(
        self, url: str, name: str, shop: str, *, answer_seconds: float = ANSWER_SECONDS
    ) -> None:
        """Use the shop's keys in the database at ``url``, which answers within so many seconds.

        It may hold a password, which ``name`` leaves out. Nothing connects yet.
        """
        self._name = name
        self._answer_seconds = answer_seconds
        self._prefix = f"topshelf:{shop}:"
        self._token: str | None = None
        self._view = _View(b"", Pointer(), frozenset())
        self._client = redis.Redis.from_url(
            url,
            protocol=2,
            socket_connect_timeout=min(CONNECT_SECONDS, answer_seconds),
            socket_timeout=answer_seconds,
            retry=Retry(NoBackoff(), 0),
        )
        self._scripts = {
            text: self._client.register_script(text)
            for text in (_READ, _RENEW, _GIVE_BACK, _SEAL, _SWITCH, _DENY, _DROP)
        }

    @property
    def name(self) -> str:
        """The address without user and password."""
        return self._name

    @property
    def is_local(self) -> bool:
        """See ``Store``."""
        return False

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """See ``Store``: a lease, renewed while writing, that ends by itself after a kill."""
        token = secrets.token_hex(8)  # Names the holder; shapes no data.
        self._take_lease(token)
        self._token = token
        try:
            with self._naming_limits():
                for leftover in self._client.scan_iter(match=f"{self._prefix}{_STAGING}*"):
                    self._client.unlink(leftover)
            yield
        finally:
            self._token = None
            with suppress(redis.RedisError):  # The lease and what it staged expire by themselves.
                self._scripts[_GIVE_BACK](keys=[self._prefix], args=[token])

    def write(self, manifest: Manifest, records: Iterable[Record]) -> None:
        """See ``Store``: a hash under another name, renamed and sealed in one step."""
        token = self._token
        if token is None:
            raise RuntimeError("write() needs publishing()")
        staging = self._prefix + _STAGING + token
        keys: list[bytes] = []
        for batch in batches(records, _BATCH_RECORDS):
            with self._naming_limits():
                self._client.hset(staging, items=[part for record in batch for part in record])
            self._renew_lease()
            keys += [record_key for record_key, _ in batch]
        found = summarise(self._values(staging, keys))
        if found != manifest.summary:
            raise InfrastructureError(differs_from_manifest(self.name, manifest, found))
        sealed = self._run(
            _SEAL,
            token,
            manifest.release,
            add_checksum(manifest.to_json()),
            str(manifest.records),
        )
        if not sealed:
            raise InfrastructureError(
                f"{self.name} lost what was written: it was flushed, or another publisher took "
                "over. Publish again; nothing was switched."
            )

    def update(self, change: Callable[[Pointer], Pointer]) -> Pointer:
        """See ``Store``: compare and set, again if somebody else was faster."""
        for attempt in range(_SWITCH_ATTEMPTS):
            before, stored = self._look()
            after = change(before)
            content = add_checksum(after.to_json()).encode()
            if after == before and stored in (None, content):
                return after
            serving = after.current or "", after.candidate or ""
            if self._run(_SWITCH, stored or b"", content, *serving):
                return after
            # Who always loses to somebody quicker lets them finish.
            time.sleep(attempt * _SWITCH_PAUSE)
        raise InfrastructureError(
            f"{self.name}: the pointer cannot be moved: the release vanished or others keep moving "
            "it. Look at `topshelf releases`, then try again."
        )

    def pointer(self) -> Pointer:
        """See ``Store``."""
        return self._look()[0]

    def deny(self, change: Callable[[DenyList], DenyList]) -> DenyList:
        """See ``Store``: compare and set, again if somebody else was faster."""
        for attempt in range(_SWITCH_ATTEMPTS):
            stored = self._stored_denials()
            before = self._parse_denials(stored)
            after = change(before)
            if after == before or self._run(_DENY, stored, after.to_bytes()):
                return after
            time.sleep(attempt * _SWITCH_PAUSE)
        raise InfrastructureError(
            f"{self.name}: others keep changing the deny list. Look at `topshelf deny`, then try "
            "again."
        )

    def denials(self) -> DenyList:
        """See ``Store``."""
        return self._parse_denials(self._stored_denials())

    def manifests(self) -> Mapping[str, Manifest]:
        """See ``Store``."""
        return {name: manifest for name, manifest in self._manifests() if manifest is not None}

    def damaged(self) -> tuple[str, ...]:
        """See ``Store``."""
        return tuple(name for name, manifest in self._manifests() if manifest is None)

    def read(
        self,
        keys: Sequence[bytes],
        release: str | None = None,
        *,
        fallbacks: Sequence[bytes] = (),
        user: str | None = None,
    ) -> Reading:
        """See ``Store``."""
        known = self._view
        count = str(len(keys))
        news, named, candidate = self._run(
            _READ, release or "", known.mark, count, *keys, *fallbacks
        )
        view = known if news is None else self._seen(*news)
        name = release or next(iter(view.pointer.serving(user)), None)
        if name is None:
            raise InfrastructureError(no_current_release(self.name))
        values = candidate if release is None and name == view.pointer.candidate else named
        if values is None:
            raise DamagedReleaseError(f"release {name} is missing")
        return Reading(name, tuple(values[: len(keys)]), tuple(values[len(keys) :]), view.denied)

    def records(self, release: str) -> Iterator[Record]:
        """See ``Store``; raises ``DamagedReleaseError`` if the release is dropped meanwhile."""
        with self._naming_limits():
            keys = cast("list[bytes]", self._client.hkeys(self._prefix + _RECORDS + release))
        if not keys:
            raise DamagedReleaseError(f"release {release} is missing")
        return self._values(self._prefix + _RECORDS + release, sorted(keys))

    def drop(self, releases: Sequence[str]) -> None:
        """See ``Store``."""
        self._run(_DROP, *(release.encode("utf-8", "surrogateescape") for release in releases))

    def close(self) -> None:
        """See ``Store``."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _look(self) -> tuple[Pointer, bytes | None]:
        """The pointer and how it is stored."""
        with self._naming_limits():
            fields = cast(
                "list[bytes | None]",
                self._client.hmget(self._prefix + _POINTER, ["state", "current", "candidate"]),
            )
        return self._parse_pointer(*(field or b"" for field in fields)), fields[0]

    def _parse_pointer(self, state: bytes, current: bytes, candidate: bytes) -> Pointer:
        if not (state or current):
            return Pointer()
        try:
            pointer = Pointer.from_json(without_checksum(state))
        except ValueError:
            pointer = None
        named = current.decode(errors="replace"), candidate.decode(errors="replace")
        if pointer is None or (pointer.current or "", pointer.candidate or "") != named:
            name = self._prefix + _POINTER
            raise InfrastructureError(
                f"{self.name}: {name} is damaged. Delete it (`redis-cli DEL {name}`), then "
                "run `topshelf rollback --to RELEASE` (`topshelf releases` lists them)."
            )
        return pointer

    def _stored_denials(self) -> bytes:
        """The deny list as it is stored, empty where there is none."""
        with self._naming_limits():
            return cast("bytes | None", self._client.get(self._prefix + _DENIED)) or b""

    def _parse_denials(self, stored: bytes) -> DenyList:
        try:
            return DenyList.from_bytes(stored) if stored else DenyList()
        except ValueError as error:
            name = self._prefix + _DENIED
            message = deny_list_is_damaged(f"{self.name}: {name}", f"redis-cli DEL {name}")
            raise InfrastructureError(message) from error

    def _seen(self, state: bytes, current: bytes, candidate: bytes, denied: bytes) -> "_View":
        """Take in what a look found, so that the next ones need not be told again."""
        self._view = _View(
            b"\0".join((state, current, candidate, denied[:HEAD_BYTES])),
            self._parse_pointer(state, current, candidate),
            self._parse_denials(denied).items,
        )
        return self._view

    def _manifests(self) -> list[tuple[str, Manifest | None]]:
        """The sealed releases and their manifests; ``None`` where one is not readable."""
        with self._naming_limits():
            stored = cast("dict[bytes, bytes]", self._client.hgetall(self._prefix + _MANIFESTS))
        return [
            (_name(name), _manifest(_name(name), text)) for name, text in sorted(stored.items())
        ]

    def _values(self, name: str, keys: Sequence[bytes]) -> Iterator[Record]:
        """The records of a hash under ``keys``; every one must still be there."""
        for start in range(0, len(keys), _BATCH_RECORDS):
            batch = keys[start : start + _BATCH_RECORDS]
            with self._naming_limits():
                values = cast("list[bytes | None]", self._client.hmget(name, list(batch)))
            if self._token is not None:
                self._renew_lease()
            for record_key, value in zip(batch, values, strict=True):
                if value is None:
                    raise DamagedReleaseError(
                        f"{self.name} lost records while they were read: it was flushed, or the "
                        "release was dropped. Publish again; nothing was switched."
                    )
                yield record_key, value

    def _take_lease(self, token: str) -> None:
        deadline = time.monotonic() + PUBLISH_WAIT_SECONDS
        while True:
            with self._naming_limits():
                if self._client.set(
                    self._prefix + _PUBLISHER, token, nx=True, px=_lease_milliseconds()
                ):
                    return
            if time.monotonic() >= deadline:
                raise InfrastructureError(
                    f"another publisher holds {self.name} for more than "
                    f"{PUBLISH_WAIT_SECONDS:.0f} s. Wait until it ends, then publish again."
                )
            time.sleep(_POLL_SECONDS)

    def _renew_lease(self) -> None:
        if not self._run(_RENEW, cast("str", self._token), str(_lease_milliseconds())):
            raise InfrastructureError(
                f"{self.name}: the publisher's lease is gone: the server was flushed or this "
                "process stood still. Publish again; nothing was switched."
            )

    def _run(self, script: str, *arguments: str | bytes) -> Any:  # noqa: ANN401 (Lua has no types)
        with self._naming_limits():
            return self._scripts[script](keys=[self._prefix], args=arguments)

    @contextmanager
    def _naming_limits(self) -> Iterator[None]:
        """Say what stopped Redis; never quote its message on a command, which holds the data."""
        try:
            yield
        except redis.OutOfMemoryError:
            raise InfrastructureError(
                f"{self.name} is out of memory (maxmemory). Raise maxmemory or lower "
                "serving.keep_releases, then publish again; nothing was switched."
            ) from None
        except redis.AuthenticationError:
            raise InfrastructureError(
                f"{self.name} refuses the login. Set the address with its password in "
                "TOPSHELF__SERVING__STORE=redis://:PASSWORD@HOST:PORT/DB."
            ) from None
        except redis.TimeoutError:
            raise InfrastructureError(
                f"{self.name} does not answer within {self._answer_seconds:g} s: it hangs, or the "
                "network does. Bring it back, then run again; nothing was switched."
            ) from None
        except redis.ConnectionError as error:
            raise InfrastructureError(
                f"{self.name} is not to be reached ({error}). Start it or correct serving.store, "
                "then run again; nothing was switched."
            ) from None
        except redis.RedisError as error:
            reason = str(error).split(maxsplit=1)[:1]
            raise InfrastructureError(
                f"{self.name} refuses a command ({type(error).__name__}: {''.join(reason)}). See "
                "its log, then run again; nothing was switched."
            ) from None


@dataclass(frozen=True, slots=True)
class _View:
    """What a reader knows: the pointer and the denied items, and by which mark the script knows."""

    mark: bytes
    pointer: Pointer
    denied: frozenset[str]


def _lease_milliseconds() -> int:
    return int(LEASE_SECONDS * 1000)


def _name(stored: bytes) -> str:
    """A release's name; bytes that are no UTF-8 survive the way there and back."""
    return stored.decode("utf-8", "surrogateescape")


def _manifest(release: str, stored: bytes) -> Manifest | None:
    try:
        manifest = Manifest.from_json(without_checksum(stored))
    except (ValueError, DamagedReleaseError):
        return None
    return manifest if manifest.release == release else None
