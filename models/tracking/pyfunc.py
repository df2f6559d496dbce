"""The model as MLflow loads it: code from this file, weights from plain arrays, no pickle.

MLflow stores a copy of this file with each version and runs it when the version is loaded, so it
only adapts ``models.lists.published`` to MLflow's interface. The project has to be installed.
"""

from pathlib import Path
from typing import Any, Final

import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from lakehouse.lists import LISTS, SURFACES, Surface
from models.core.interactions import index_of
from models.lists.path import Policy
from models.lists.published import PUBLISHED_FOLDER, Published

SIZE: Final = "size"
DEFAULT_SIZE: Final = 20
COLUMNS: Final = ("user_id", "list", "rank", "item_id", "score", "source")
EXAMPLE: Final = pd.DataFrame({"user_id": ["somebody", ""], "list": ["all", "fallback"]})


class TopshelfModel(PythonModel):
    """``predict`` turns rows of (user_id, list) into the rows of their lists, best item first."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the weights, checking their digests."""
        self._published = Published.load(Path(context.artifacts[PUBLISHED_FOLDER]))

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """The lists asked for, in the order asked; unknown users get the popular items.

        ``params["size"]`` is the number of items per list. Raises ``ValueError`` for a list of
        another name.
        """
        del context
        size = int((params or {}).get(SIZE, DEFAULT_SIZE))
        asked = model_input.reset_index(drop=True)
        unknown = sorted(set(asked["list"]) - set(LISTS))
        if unknown:
            raise ValueError(f"no lists {unknown}; there are {LISTS}")
        parts = [
            self._rows(surface, asked.index[asked["list"] == surface.name], asked["user_id"], size)
            for surface in SURFACES
        ]
        rows = pd.concat(parts).sort_values(["request", "rank"], ignore_index=True)
        return rows[list(COLUMNS)]

    def _rows(
        self, surface: Surface, requests: pd.Index, user_ids: "pd.Series[str]", size: int
    ) -> pd.DataFrame:
        asked = user_ids[requests]
        users = index_of(self._published.user_ids, asked)
        rows = self._published.as_rows(self._published.lists(surface, users, Policy(size=size)))
        return rows.assign(
            request=requests.to_numpy()[rows["row"]],
            user_id=asked.to_numpy()[rows["row"]],
            list=surface.name,
        )


mlflow.models.set_model(TopshelfModel())
