"""Validation between layers; the only code that imports Great Expectations."""

import warnings

# Great Expectations loads all of PySpark, which warns about pandas 3; ours is pinned and tested.
warnings.filterwarnings(
    "ignore", message="PySpark does not yet fully support pandas", category=FutureWarning
)
