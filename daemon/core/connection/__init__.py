"""The one printer: its address, its line, and how that is kept."""
