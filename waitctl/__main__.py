"""The `waitctl` command, and ``python -m waitctl``."""

import sys


def main() -> None:
    """Load the command line and run it; Ctrl-C shows no traceback then, either."""
    try:
        from waitctl.cli.app import main
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)  # noqa: T201
        sys.exit(130)
    main()


if __name__ == "__main__":
    main()
