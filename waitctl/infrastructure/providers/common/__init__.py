"""What providers share: payloads, forms, signatures and keys. No provider is in here."""
