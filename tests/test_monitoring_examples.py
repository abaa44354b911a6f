"""The alert rules and the dashboard name metrics that there are, and promtool plays the rules through."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from waitctl import Database, Settings
from waitctl.application.operations.metrics import metrics_text

FOLDER = Path(__file__).parent.parent / "examples" / "monitoring"


def promtool(folder: Path) -> str | None:
    """Prometheus' own tool: the installed one, or else, where apt has it, from its package, unpacked in a folder."""
    if (found := shutil.which("promtool")) or shutil.which("apt-get") is None:
        return found
    fetch = "apt-get download prometheus && dpkg -x prometheus_*.deb ."
    subprocess.run(["sh", "-c", fetch], cwd=folder, capture_output=True, timeout=120, check=False)
    unpacked = folder / "usr" / "bin" / "promtool"
    return str(unpacked) if unpacked.exists() else None


@pytest.fixture
def names(migrated_sqlite_url: str) -> set[str]:
    """The metrics that waitctl has, by the names of their samples."""
    with Database(migrated_sqlite_url) as database:
        text = metrics_text(Settings(migrated_sqlite_url), database)
    families = re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE)
    histograms = {
        f"{name}_{part}" for name, kind in families if kind == "histogram" for part in ("bucket", "sum", "count")
    }
    return {name for name, _ in families} | histograms


def test_they_name_metrics_that_there_are(names: set[str]) -> None:
    dashboard = json.loads((FOLDER / "grafana-dashboard.json").read_text())
    asked = " ".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    rules = re.sub(r"\$labels|alert: \w+|summary:.*|runbook:.*", "", (FOLDER / "waitctl.rules.yml").read_text())
    series = " ".join(re.findall(r"series: '(\w+)", (FOLDER / "waitctl.rules.test.yml").read_text()))
    for text in (asked, rules, series):
        used = set(re.findall(r"\bwaitctl_\w+", text))
        assert used and used <= names
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))


def test_every_alert_is_played_through() -> None:
    alerts = re.findall(r"- alert: (\w+)", (FOLDER / "waitctl.rules.yml").read_text())
    played = (FOLDER / "waitctl.rules.test.yml").read_text()
    assert len(alerts) == 8
    assert [name for name in alerts if not re.search(rf"alertname: {name}\n +exp_alerts:", played)] == []


def test_promtool_plays_the_rules_through(tmp_path: Path) -> None:
    tool = promtool(tmp_path)
    commands = (["check", "rules", "waitctl.rules.yml"], ["test", "rules", "waitctl.rules.test.yml"])
    for command in commands if tool else ():
        done = subprocess.run(
            [str(tool), *command], cwd=FOLDER, capture_output=True, text=True, timeout=100, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
