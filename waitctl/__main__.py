"""``python -m waitctl``."""

from waitctl.cli.app import main

if __name__ == "__main__":
    main()
