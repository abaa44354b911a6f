"""The command line: parse → call → print. No SQL, no rules."""
