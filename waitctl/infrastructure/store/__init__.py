"""Every SQL statement, one named function each."""
