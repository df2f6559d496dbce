"""The landing source that every shop has: the files in which the API keeps events.

Nothing has to be configured. Without the folder there are no files, and nothing to take in.
"""

from typing import Final

from lakehouse.ingest.sources import SourceMapping, mappable_columns

# Below the landing folder; `serving.feedback.journal` writes the files.
FOLDER: Final = "feedback"

FEEDBACK: Final = SourceMapping(
    name="api_feedback",
    target="feedback",
    path=f"{FOLDER}/{{date}}.*.jsonl",
    format="jsonl",
    columns={name: name for name in mappable_columns("feedback")},
)
