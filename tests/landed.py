"""A landing folder for tests: sources in the words of the configuration, files as plain text."""

import gzip
from pathlib import Path
from typing import Any

from jobs.config import Settings

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
    return Settings(paths=paths, sources=list(sources), **sections)


def land(settings: Settings, name: str, *lines: str, encoding: str = "UTF-8") -> Path:
    """Write lines to a landing file, zipped if its name says so; return its path."""
    path = settings.paths.landing / name
    path.parent.mkdir(parents=True, exist_ok=True)
    content = "".join(f"{line}\n" for line in lines).encode(encoding)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path
