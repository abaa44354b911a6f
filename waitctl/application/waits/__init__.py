"""Creating, moving, explaining and awaiting waits."""
