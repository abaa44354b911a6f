"""The `waitctl` command, and ``python -m waitctl``."""

import gc
import os
import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    # `python -m` looks for modules in the current folder first, and anybody may have put a typer.py there.
    del sys.path[0]

OBJECTS_BETWEEN_COLLECTIONS = 60_000
"""What the collector of garbage lets pass before it looks: more than a short command imports."""


def _come_again(ignored: "sys.UnraisableHookArgs") -> None:
    """Let Ctrl-C that came inside a destructor, where Python would only show it, come again behind it."""
    if not issubclass(ignored.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(ignored)
        return
    import _thread

    here = sys._getframe()  # noqa: SLF001 (documented, for what is as special as this)

    def behind(frame: object, *_: object) -> None:
        if frame is not here:
            sys.setprofile(None)
            _thread.interrupt_main()

    sys.setprofile(behind)  # told of the next step that is a call or a return; what it raises is raised there


def main() -> None:
    """Load the command line and run it; Ctrl-C shows no traceback then, either."""
    # Tens of thousands of objects are imported, none of them garbage: to look through them again and again, and once
    # more at the end, is a sixth of what a short command takes.
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    sys.unraisablehook = _come_again
    try:
        from waitctl.cli.app import main
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr, flush=True)  # noqa: T201
        os._exit(130)  # `waitctl.cli.app.main` says why
    try:
        main()
    finally:
        gc.freeze()


if __name__ == "__main__":
    main()
