"""The model as MLflow loads it: code from this file, weights from plain arrays, no pickle.

MLflow stores a copy of this file with each version and runs it when the version is loaded, so it
only adapts ``models.published`` to MLflow's interface. The project has to be installed.
"""

from pathlib import Path
from typing import Any, Final

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from models.interactions import index_of
from models.published import FALLBACK_LIST, PERSONAL_LISTS, PUBLISHED_FOLDER, Published

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
        unknown = sorted(set(asked["list"]) - {*PERSONAL_LISTS, FALLBACK_LIST})
        if unknown:
            raise ValueError(f"no lists {unknown}; there are {(*PERSONAL_LISTS, FALLBACK_LIST)}")
        parts = [
            self._rows(name, asked.index[asked["list"] == name], asked["user_id"], size)
            for name in (*PERSONAL_LISTS, FALLBACK_LIST)
        ]
        rows = pd.concat(parts).sort_values(["request", "rank"], ignore_index=True)
        return rows[list(COLUMNS)]

    def _rows(
        self, name: str, requests: pd.Index, user_ids: "pd.Series[str]", size: int
    ) -> pd.DataFrame:
        asked = user_ids[requests]
        users = index_of(self._published.user_ids, asked)
        if name == FALLBACK_LIST:
            users = np.full_like(users, -1)
        rows = self._published.rows(name, users, size)
        return rows.assign(
            request=requests.to_numpy()[rows["row"]],
            user_id=asked.to_numpy()[rows["row"]],
            list=name,
        )


mlflow.models.set_model(TopshelfModel())
