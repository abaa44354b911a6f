"""Handing continuations over, and what stands in their way."""
