"""The web door, through real servers."""
