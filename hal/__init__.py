"""Printers: the interface, the driver, and the backends that it drives."""
