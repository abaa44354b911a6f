"""Run the parts one after the other, each with databases of its own; print what was seen, and the seed of it."""

from __future__ import annotations

import argparse
import secrets
import tempfile
import time
import traceback
from pathlib import Path

from tests.chaos.parts import NIGHTLY, PARTS
from tests.chaos.stage import Stage

ALL = {**PARTS, **NIGHTLY}


def main() -> int:
    """Returns the exit status: 1 when a part failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(ALL)}; all when none is named")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32), help="of an earlier run, to repeat it")
    parser.add_argument("--share", type=float, default=1.0, help="how much of the full form, from 0 to 1 and beyond")
    parser.add_argument("--hours", type=float, default=0.0, help="the nightly parts, so many hours of memory, too")
    asked = parser.parse_args()
    if unknown := set(asked.parts) - ALL.keys():
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    print(f"seed {asked.seed}", flush=True)
    failed = 0
    for name in asked.parts or (ALL if asked.hours else PARTS):
        began = time.monotonic()
        share = (asked.hours or 1.0) if name in NIGHTLY else asked.share
        try:
            said = run(name, asked.seed, share)
        except Exception:  # noqa: BLE001 (the next part is another story)
            failed += 1
            said = "FAILED\n" + traceback.format_exc()
        print(f"{name:12} {time.monotonic() - began:6.1f} s  {said}", flush=True)
    return 1 if failed else 0


def run(name: str, seed: int, share: float) -> str:
    """Run one part in a folder of its own. Returns what it saw."""
    with tempfile.TemporaryDirectory(prefix=f"waitctl-chaos-{name}-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # the server is another user's
        stage = Stage(Path(folder), seed, share)
        with stage.stack:
            return ALL[name](stage)


if __name__ == "__main__":
    raise SystemExit(main())
