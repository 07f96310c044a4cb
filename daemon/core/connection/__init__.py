"""The connection to the one printer: its address, its serial port, and how both survive a lost connection."""
