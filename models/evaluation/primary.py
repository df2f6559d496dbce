"""What methods are chosen and ranked by; it is known without loading how it is measured."""

from typing import Final

# Lists are judged by their first places.
PLACES: Final = 10
PRIMARY_METRIC: Final = f"ndcg@{PLACES}"
