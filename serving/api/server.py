"""Starting the API: Granian with one or more processes, which it starts anew when they die."""

import os
import tempfile
from functools import partial
from typing import Any, Final

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings

from lakehouse.errors import ConfigurationError
from serving.api.settings import SHARED_FIGURES, ApiSettings
from serving.keys import read_keys

_HEADER_MILLISECONDS: Final = 10_000
_LARGEST_HEAD_BYTES: Final = 64 << 10
_STOP_SECONDS: Final = 10
_CONNECTIONS: Final = 512
_RESPAWN_SECONDS: Final = 1.0


def serve(settings: ApiSettings, host: str, port: int) -> None:
    """Serve until a signal ends it.

    Raises ``ConfigurationError`` where there is no key, and what reading the keys raises.
    """
    if not read_keys(settings.keys):
        raise ConfigurationError(
            f"{settings.keys} has no API key, so nobody could ask for anything. Make one: "
            "`topshelf keys add --name NAME --scope read`."
        )
    with tempfile.TemporaryDirectory(prefix="topshelf-metrics-") as shared:
        if settings.workers > 1:
            # Before its library is loaded, which looks for it then.
            os.environ[SHARED_FIGURES] = shared
        _server(settings, host, port).serve(
            target_loader=partial(_load, settings), wrap_loader=False
        )


def _server(settings: ApiSettings, host: str, port: int) -> Any:  # noqa: ANN401 (Granian has a class for each kind of Python)
    return Granian(
        "serving.api.app:create_app",
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        workers=settings.workers,
        loop=Loops.uvloop,
        http=HTTPModes.http1,
        websockets=False,
        http1_settings=HTTP1Settings(
            header_read_timeout=_HEADER_MILLISECONDS, max_buffer_size=_LARGEST_HEAD_BYTES
        ),
        backpressure=_CONNECTIONS,
        respawn_failed_workers=True,
        respawn_interval=_RESPAWN_SECONDS,
        workers_kill_timeout=_STOP_SECONDS,
        log_access=False,
    )


def _load(settings: ApiSettings, *_: Any) -> Any:  # noqa: ANN401 (Granian's own types)
    from serving.api.app import create_app  # noqa: PLC0415 (see above)

    return create_app(settings)
