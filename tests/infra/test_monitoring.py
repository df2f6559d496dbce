"""Alerts and dashboard name figures that the API has, and each alert a runbook that there is."""

import json
import re
import shutil
import subprocess

import pytest
import yaml

from serving.api.metrics import Metrics
from tests.project import ROOT

FOLDER = ROOT / "infra/monitoring"
(GROUP,) = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())
EXPRESSIONS = [rule["expr"] for rule in GROUP["rules"]] + [
    target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]
]


def test_every_figure_that_is_asked_for_is_there() -> None:
    kinds = dict(re.findall(r"# TYPE (\S+) (\S+)", Metrics().page().decode()))
    names = {f"{name}_bucket" if kind == "histogram" else name for name, kind in kinds.items()}
    asked = {name for text in EXPRESSIONS for name in re.findall(r"topshelf_\w+", text)}
    assert asked <= names
    assert len(asked) >= 6


@pytest.mark.parametrize("rule", GROUP["rules"], ids=lambda rule: rule["alert"])
def test_each_alert_has_a_runbook(rule: dict[str, dict[str, str]]) -> None:
    path, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^## (\S+)$", (ROOT / path).read_text(), re.MULTILINE)
    assert anchor in [heading.lower() for heading in headings]
    assert anchor == str(rule["alert"]).lower()


def test_prometheus_takes_the_rules() -> None:
    if shutil.which("promtool") is None:
        pytest.skip("no promtool here (package prometheus)")
    subprocess.run(["promtool", "check", "rules", str(FOLDER / "alerts.yml")], check=True)
