"""Looking at calendars, and when a wait may go on by them."""
