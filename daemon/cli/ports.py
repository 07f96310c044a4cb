"""`nozzled ports`: where a printer may be."""

import argparse

from hal.ports import list_ports, locked

EXAMPLE = "nozzled ports"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take none."""


def run(_: argparse.Namespace) -> int:
    """Print one address a line, ready for --printer."""
    found = list_ports()
    for port in found:
        print(f"{port.address}  {port.description or ''}{'  (in use)' if locked(port.path) else ''}".rstrip())
    if not found:
        print("no serial port found; try the simulated printer: nozzled serve --printer sim")
    return 0
