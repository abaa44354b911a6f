"""Which events and which listeners belong together, in SQL."""
