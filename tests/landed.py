"""A landing folder for tests: sources in the words of the configuration, files as plain text."""

import gzip
import json
from pathlib import Path
from typing import Any

from jobs.config.settings import Settings

EVENTS: dict[str, Any] = {
    "name": "orders",
    "target": "events",
    "path": "{date}.csv",
    "format": "csv",
    "columns": {
        "user_id": "user",
        "item_id": "item",
        "event_time": "time",
        "quantity": "quantity",
        "value": "paid",
    },
    "constants": {"event_type": "purchase"},
}
ITEMS: dict[str, Any] = {
    "name": "products",
    "target": "items",
    "path": "products*.csv",
    "format": "csv",
    "columns": {"item_id": "item", "title": "name", "department": "department"},
}
USERS: dict[str, Any] = {
    "name": "customers",
    "target": "users",
    "path": "customers.csv",
    "format": "csv",
    "columns": {"user_id": "user"},
    "attributes": ["age", "town"],
}
HEADER = "user,item,time,quantity,paid"


def settings_of(root: Path, *sources: dict[str, Any], **sections: Any) -> Settings:
    """Settings whose paths all lie below ``root``."""
    paths = {name: root / name for name in ("lake", "landing", "runs", "data_quality")}
    return Settings(shop={"name": "corner"}, paths=paths, sources=list(sources), **sections)


def land(settings: Settings, name: str, *lines: str, encoding: str = "UTF-8") -> Path:
    """Write lines to a landing file, zipped if its name says so; return its path."""
    path = settings.paths.landing / name
    path.parent.mkdir(parents=True, exist_ok=True)
    content = "".join(f"{line}\n" for line in lines).encode(encoding)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def toml_of(settings: Settings) -> str:
    """The configuration file that gives the settings' paths and sources."""
    # JSON's strings, lists and tables with quoted keys differ from TOML's in the colon alone.
    paths = [f"{name} = {json.dumps(str(path))}" for name, path in settings.paths]
    sources = [
        "\n".join(
            f"{name} = {_inline(value)}"
            for name, value in source.model_dump(mode="json", exclude_none=True).items()
        )
        for source in settings.sources
    ]
    shop = f'[shop]\nname = "{settings.shop.name}"'
    return "\n".join([shop, "[paths]", *paths, *[f"[[sources]]\n{source}" for source in sources]])


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        inside = ", ".join(f"{json.dumps(key)} = {_inline(item)}" for key, item in value.items())
        return f"{{{inside}}}"
    if isinstance(value, list):
        return f"[{', '.join(_inline(item) for item in value)}]"
    return json.dumps(value)
