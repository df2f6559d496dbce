"""Recommenders, their evaluation, and the registry; no Spark."""

import os

# MLflow reads these when it is imported: nothing is unpickled, nothing sent home.
os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
