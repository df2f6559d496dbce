"""The API for a shop's configuration, and its keys."""

from collections.abc import Sequence
from datetime import datetime
from typing import cast

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from jobs.config.settings import Settings
from jobs.operate.lookup import plain
from lakehouse.errors import ConfigurationError
from lakehouse.ingest.feedback import FOLDER
from serving import keys
from serving.api.settings import ApiSettings


def serve(settings: Settings, host: str, port: int, workers: int) -> None:
    """Serve until a signal ends it; raises what ``serving.api.server.serve`` raises."""
    from serving.api import server  # noqa: PLC0415 (the framework is loaded by this command alone)

    server.serve(api_settings(settings, workers), host, port)


def document() -> str:
    """The API's OpenAPI document."""
    from serving.api import app  # noqa: PLC0415

    return app.document().decode()


def api_settings(settings: Settings, workers: int = 1) -> ApiSettings:
    """What the API needs of a shop's configuration.

    Raises ``ConfigurationError`` where the keys would lie in the lake, which others may read.
    """
    serving = settings.serving
    lake = settings.paths.lake.resolve()
    if lake in serving.api_keys.resolve().parents:
        raise ConfigurationError(
            f"serving.api_keys {serving.api_keys} lies in the lake. Keep keys apart from data."
        )
    return ApiSettings(
        store=serving.store,
        shop=settings.shop.name,
        keys=serving.api_keys,
        feedback=settings.paths.landing / FOLDER,
        runs=settings.paths.runs,
        deadline_seconds=serving.deadline_milliseconds / 1_000,
        requests_per_second=serving.requests_per_second,
        workers=workers,
    )


def add_key(settings: Settings, name: str, scopes: Sequence[str], *, when: datetime) -> str:
    """Make a key; return it, the only time that it can be read."""
    path = api_settings(settings).keys
    created = when.strftime("%Y-%m-%d %H:%M:%S")
    _, token = keys.add_key(path, name, cast("Sequence[keys.Scope]", scopes), created=created)
    return token


def revoke_key(settings: Settings, key_id: str) -> str:
    """Take a key away; return a sentence."""
    key = keys.revoke_key(settings.serving.api_keys, key_id)
    return f"{key.id} ({key.name}) is no key any more."


def list_keys(settings: Settings) -> RenderableType:
    """The keys, oldest first; their secrets are nowhere."""
    found = keys.read_keys(settings.serving.api_keys)
    if not found:
        return Text("no keys yet: `topshelf keys add --name NAME --scope read` makes one")
    table = Table("id", "name", "scopes", "made (UTC)", box=None, header_style="bold")
    for key in found:
        table.add_row(key.id, plain(key.name), ", ".join(key.scopes), key.created)
    return table
