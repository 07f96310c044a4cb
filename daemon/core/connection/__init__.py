"""The connection to the one printer: its address, its serial port, and connecting again after a loss."""
