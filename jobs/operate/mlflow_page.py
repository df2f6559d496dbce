"""MLflow's page, on the database that the settings name, for this machine alone."""

import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from jobs.config.settings import Settings
from jobs.night.registry import open_registry
from lakehouse.errors import ConfigurationError
from models.tracking import page as tracking_page

LOOPBACK = "127.0.0.1"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Server:
    """The command that serves the page at ``address``, and what it finds in its environment."""

    address: str
    command: tuple[str, ...]
    environment: Mapping[str, str]


def server(settings: Settings, port: int) -> Server:
    """The server of MLflow's page; its database is made or upgraded first.

    Raises ``ConfigurationError`` where the settings name a server that runs already, and what
    ``Registry`` raises where the database cannot be had.
    """
    uri = settings.mlflow.tracking_uri
    if uri.startswith(("http:", "https:")):
        raise ConfigurationError(
            "[mlflow] tracking_uri names a server that runs already: open its address in a browser."
        )
    experiment = open_registry(settings).experiment_id
    hosts = (LOOPBACK, "localhost", tracking_page.HOST)
    return Server(
        address=tracking_page.address(experiment, port),
        command=(
            *(sys.executable, "-m", "mlflow", "server", "--host", LOOPBACK, "--port", str(port)),
            *("--workers", "1", "--allowed-hosts", ",".join(f"{h},{h}:{port}" for h in hosts)),
            *("--cors-allowed-origins", ",".join(f"http://{host}:{port}" for host in hosts)),
        ),
        # The address is not among the arguments, which everybody on the machine may read. Jobs are
        # for language models.
        environment={
            "MLFLOW_BACKEND_STORE_URI": uri,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        },
    )


def serve(settings: Settings, port: int) -> None:
    """Become the server of MLflow's page; what is said under ``server`` holds."""
    found = server(settings, port)
    logger.info("MLflow: %s (end it with Ctrl-C)", found.address)
    os.execve(found.command[0], found.command, {**os.environ, **found.environment})  # noqa: S606
