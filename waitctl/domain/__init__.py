"""What is true about waits: pure, no I/O, no clock."""
