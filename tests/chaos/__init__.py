"""Chaos: real processes, real databases, faults on purpose. `make chaos` runs all of it, `make test` a short form."""
