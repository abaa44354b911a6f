"""The tick and its phases, once or resident."""
