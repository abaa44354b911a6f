"""The peers, in an environment of their own: `.tools/peers`, made when it is first asked for.

They are never the project's dependencies. Its Python is the newest that is found, since oban wants 3.12.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from benchmarks.measure import say

ROOT = Path(__file__).parent.parent.parent
REQUIREMENTS = ROOT / "requirements-peers.txt"
FOLDER = ROOT / ".tools" / "peers"
PYTHON = FOLDER / "bin" / "python"
NAMES = ("pgqueuer", "procrastinate", "oban", "absurd-sdk", "dbos")

_VERSIONS = """
import importlib.metadata as metadata, json, sys
found = {"Python": sys.version.split()[0]}
for name in sys.argv[1:]:
    try:
        found[name.removesuffix("-sdk")] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


@cache
def peers_found() -> Mapping[str, str]:
    """What is there, with its version; installed first. What is not is said, with the reason."""
    why = _install()
    if not PYTHON.exists():
        print(f"peers: none: {why}")
        return {}
    done = subprocess.run([PYTHON, "-c", _VERSIONS, *NAMES], capture_output=True, text=True, check=True)
    versions: dict[str, str] = json.loads(done.stdout)
    print("peers: " + ", ".join(f"{name} {version}" for name, version in versions.items()))
    for name in NAMES:
        if name.removesuffix("-sdk") not in versions:
            print(f"peers: not measured: {name}, which is not installed: {why or 'not for this Python'}")
    return versions


def _install() -> str | None:
    """Install what is pinned; the reason why not, if that fails."""
    installed = FOLDER / "requirements-peers.txt"
    if installed.exists() and installed.read_bytes() == REQUIREMENTS.read_bytes():
        return None
    if not PYTHON.exists():
        subprocess.run([_newest_python(), "-m", "venv", FOLDER], check=True)
    say("peers: installing them into .tools/peers")
    install = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    install += ["--requirement", str(REQUIREMENTS)]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode:
        return str((done.stderr.strip().splitlines() or ["pip failed"])[-1])
    shutil.copy(REQUIREMENTS, installed)
    return None


def _newest_python() -> str:
    """Of those that can be run, on the PATH or in pyenv's folder."""
    for python in _pythons():
        done = subprocess.run([python, "-c", "import ensurepip"], capture_output=True, check=False)
        if done.returncode == 0:
            return python
    return sys.executable


def _pythons() -> Iterator[str]:
    for minor in (14, 13, 12):
        if found := shutil.which(f"python3.{minor}"):
            yield found
        yield from map(str, sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python"), reverse=True))
