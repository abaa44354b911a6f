"""Recording events, and reading them from streams and webhooks."""
