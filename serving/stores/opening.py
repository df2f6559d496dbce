"""Which store an address names."""

import re
from pathlib import Path
from urllib.parse import urlsplit

from lakehouse.errors import ConfigurationError
from serving.stores.store import Store


def open_store(address: str, shop: str, *, answer_seconds: float | None = None) -> Store:
    """The shop's releases at ``lmdb:PATH`` or ``redis://[USER:PASSWORD@]HOST[:PORT][/DB]``.

    ``rediss`` is for TLS. A server that takes longer than ``answer_seconds``, by default 5, counts
    as failing. Nothing is created yet. Raises ``ConfigurationError`` for any other
    address and for a folder that belongs to another shop.
    """
    name = public_address(address)
    scheme, _, place = address.partition(":")
    if scheme == "lmdb":
        from serving.stores.lmdb_store import LmdbStore  # noqa: PLC0415 (load one client only)

        return LmdbStore(Path(place), shop)
    from serving.stores.redis_store import ANSWER_SECONDS, RedisStore  # noqa: PLC0415

    return RedisStore(address, name, shop, answer_seconds=answer_seconds or ANSWER_SECONDS)


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
