"""A newcomer's first hour: an empty home, the installed wheel, no checkout, and nothing but what was printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.test_package import build


class Newcomer:
    """Somebody with a shell, a crontab and an installed waitctl."""

    def __init__(self, home: Path, programs: Path) -> None:
        self.home = home
        self.environment = {"HOME": str(home), "PATH": f"{programs}:/usr/bin:/bin", "LANG": "C.UTF-8"}

    def types(self, line: str, **environment: str) -> str:
        """Run a line of shell at home; what it prints, on both streams."""
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=self.home,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}"
        return done.stdout


@pytest.fixture
def newcomer(tmp_path: Path) -> Newcomer:
    """With the wheel in an environment of its own, as pipx and uv make one."""
    tool = tmp_path / "tool"
    venv.create(tool, with_pip=False)
    build("wheel", tmp_path / "wheel")
    (wheel,) = (tmp_path / "wheel").iterdir()
    pip = [sys.executable, "-m", "pip", "--python", str(tool / "bin" / "python"), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True, cwd=tmp_path)
    # The libraries are the ones that run this test; an editable waitctl among them is a .pth file, which is not read so.
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = tool / "lib" / version / "site-packages"
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "waitctl").symlink_to(tool / "bin" / "waitctl")
    crontab = programs / "crontab"
    crontab.write_text('#!/bin/sh\nif [ "$1" = -l ]; then cat "$HOME/table"; else cat > "$HOME/table"; fi\n')
    crontab.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    return Newcomer(home, programs)


@pytest.mark.usefixtures("uncounted")
def test_from_the_installation_to_what_the_table_showed(newcomer: Newcomer) -> None:
    said = newcomer.types("waitctl init --cron")
    config = re.findall(r"^made +(/.*config\.toml)$", said, re.MULTILINE)
    (examples,) = re.findall(r"^examples +(/.*)$", said, re.MULTILINE)
    assert config == [str(newcomer.home / ".config" / "waitctl" / "config.toml")]

    with Path(config[0]).open("a") as file:
        file.write('\n[handlers.receipt]\nexec = ["sh", "-c", "cat > receipt.json; echo paid"]\n')
    assert "nothing is wrong" in newcomer.types("waitctl config check")
    newcomer.types("waitctl event types add payment")
    newcomer.types(
        "waitctl create for-event payment --contact ada@example.org --execution order-17 --timeout 3d --handler receipt"
    )
    newcomer.types("waitctl event record payment --contact Ada@Example.org --id p-1")

    # What cron does: a shell, the home, a short PATH, and the line up to its end or a %.
    line = (newcomer.home / "table").read_text().splitlines()[-1]
    assert line.startswith("* * * * * ")
    assert newcomer.types(line[10:], PATH="/usr/bin:/bin") == ""
    assert '"payment"' in (newcomer.home / "receipt.json").read_text()

    table = newcomer.types("waitctl status --execution order-17")
    assert table.startswith("order-17: done\n")
    (tail,) = re.findall(r"^([0-9a-f]{12}) ", table, re.MULTILINE)
    one = newcomer.types(f"waitctl status {tail}")
    assert re.search(r"^delivery +event to receipt: delivered, attempt 1 of 8$", one, re.MULTILINE)

    # What an installation brings along, beside the program.
    assert os.access(Path(examples) / "dunning.sh", os.X_OK)
    assert (Path(examples).parent / "crontab.example").is_file()
    assert (Path(examples).parent / "systemd" / "waitctl-tick.service").is_file()
    assert (Path(examples).parents[1] / "man" / "man1" / "waitctl.1").read_text().startswith('.\\"')
    assert newcomer.types("waitctl help exit-codes").startswith("# exit-codes")
