"""The outside world: settings, the database, handlers, providers."""
