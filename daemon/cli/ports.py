"""`nozzled ports`: the serial ports of this machine."""

import argparse

from hal import holders
from hal.ports import is_locked, list_ports

EXAMPLE = "nozzled ports"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare nothing: the command has no options."""


def run(_: argparse.Namespace) -> int:
    """Print the address of each port, as --printer takes it."""
    ports = list_ports()
    for port in ports:
        used = f"  (in use by {holders.describe(holders.of_file(port.path))})" if is_locked(port.path) else ""
        print(f"{port.address}  {port.description or ''}{used}".rstrip())
    if not ports:
        print("no serial port found; try the simulated printer: nozzled serve --printer sim")
    return 0
