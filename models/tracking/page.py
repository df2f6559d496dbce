"""What MLflow's page shows first: the metrics that decide, in its mode for training models."""

import json
from typing import Final

from lakehouse.lists import PERSONAL_LISTS
from models.evaluation.measures import MEASURES
from models.evaluation.primary import PLACES
from models.tracking.names import deciding

DECIDING: Final = tuple(f"{measure.name}@{PLACES}" for measure in MEASURES if measure.decides)
GAIN: Final = "gain"

# Other kinds open among prompts and traces of language models.
KIND: Final = {"mlflow.experimentKind": "custom_model_development"}
VIEW: Final = "topshelf"
# Browsers take every name below `localhost` for this machine; MLflow shows its assistant, which
# would start a coding agent, only to those who call the machine by its usual names.
HOST: Final = "topshelf.localhost"


def view() -> dict[str, str]:
    """The tag of an experiment that holds the columns of its runs, as links of MLflow name it."""
    metrics = [deciding(measure, name) for measure in (*DECIDING, GAIN) for name in PERSONAL_LISTS]
    columns = [*(f"metrics.`{name}`" for name in metrics), "tags.`gate`"]
    return {f"mlflow.sharedViewState.{VIEW}": json.dumps({"selectedColumns": columns})}


def address(experiment_id: str, port: int) -> str:
    """Where MLflow's page of an experiment opens with these columns and in this mode."""
    return (
        f"http://{HOST}:{port}/#/experiments/{experiment_id}/runs"
        f"?workflowType=machine_learning&viewStateShareKey={VIEW}"
    )
