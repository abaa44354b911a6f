"""The container and the units of systemd: what they name is there, and their own parsers take them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from tests.test_scheduling_files import confinement, read_unit
from waitctl.infrastructure.config import load_settings

ROOT = Path(__file__).parent.parent.parent
CONTAINER = ROOT / "examples" / "container"
UNITS = ROOT / "systemd"


def instructions() -> list[tuple[str, str]]:
    """The Containerfile's, with their lines joined."""
    text = re.sub(r"\\\n\s*", "", (CONTAINER / "Containerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.partition(" ")[0], line.partition(" ")[2].strip()) for line in lines]


def test_the_containerfile_names_what_is_there_and_runs_as_nobody_in_particular() -> None:
    found = instructions()
    assert {name for name, _ in found} <= set("FROM WORKDIR COPY RUN USER ENV VOLUME EXPOSE HEALTHCHECK CMD".split())
    assert all(
        re.search(r":[\w.-]+( AS \w+)?$", rest) and ":latest" not in rest for name, rest in found if name == "FROM"
    )
    for name, rest in found:
        if name == "COPY" and not rest.startswith("--from"):
            source = rest.split()[0]
            assert source == "." or (ROOT / source).exists(), rest
    names = [name for name, _ in found]
    assert names.index("USER") < names.index("CMD") and dict(found)["USER"] == "10001"
    assert "serve --host 0.0.0.0 --tick" in dict(found)["CMD"]
    assert "/healthz" in dict(found)["HEALTHCHECK"]


def test_the_compose_file_is_whole(tmp_path: Path) -> None:
    document = yaml.safe_load((CONTAINER / "compose.yaml").read_text())
    assert set(document["services"]) == {"database", "web", "tick"}
    for service in document["services"].values():
        assert set(service.get("secrets", ())) <= set(document["secrets"])
        assert set(service.get("depends_on", ())) <= set(document["services"])
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert source in document["volumes"] or (CONTAINER / source).is_file(), volume
        if "build" in service:
            assert (CONTAINER / service["build"]["context"]).resolve() == ROOT
            assert (ROOT / service["build"]["dockerfile"]).is_file()
            [shell, flag, script] = service["command"]
            subprocess.run([shell, "-n", flag, script], check=True)
    assert document["services"]["web"]["ports"] == ["127.0.0.1:8025:8025"]
    subprocess.run(["sh", "-n", CONTAINER / "database.sh"], check=True)
    settings = load_settings(config=str(CONTAINER / "config.toml"), environ={"WAITCTL_ALLOW_UNSAFE_FILES": "1"})
    assert settings.serve.tokens["admin"].token_file == ("/run/secrets/waitctl-token",)


def test_systemd_takes_the_socket_and_its_service(tmp_path: Path) -> None:
    service = read_unit(UNITS / "waitctl-web.service")
    assert service["Service"]["ExecStart"] == "/usr/local/bin/waitctl serve --fd 3"
    assert service["Unit"]["Requires"] == "waitctl-web.socket"
    assert read_unit(UNITS / "waitctl-web.socket")["Socket"]["ListenStream"] == "127.0.0.1:8025"
    assert confinement(UNITS / "waitctl-web.service") == confinement(UNITS / "waitctl-watch.service")
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        return
    for name in ("waitctl-web.service", "waitctl-web.socket"):
        text = (UNITS / name).read_text().replace("/usr/local/bin/waitctl", sys.executable)
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [analyze, "verify", "--man=no", tmp_path / "waitctl-web.service", tmp_path / "waitctl-web.socket"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert [line for line in done.stderr.splitlines() if "waitctl-" in line] == []
