"""Exit with 0 where Airflow's scheduler and DAG processor report to the API at the given URL."""

import json
import sys
from urllib.request import urlopen

with urlopen(sys.argv[1] + "/api/v2/monitor/health", timeout=5) as answer:  # noqa: S310
    health = json.load(answer)
names = ("metadatabase", "scheduler", "dag_processor")
sys.exit(any(health[name]["status"] != "healthy" for name in names))
