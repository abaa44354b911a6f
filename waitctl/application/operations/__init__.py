"""What an operator does: look, check, measure."""
