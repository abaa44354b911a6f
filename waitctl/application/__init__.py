"""Use cases: each opens a transaction, asks the domain, tells the store."""
