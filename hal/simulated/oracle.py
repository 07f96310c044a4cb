"""What the simulated firmware took in: the witness against which a print is compared."""

import json
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple, TextIO


class Accepted(NamedTuple):
    """One accepted command: its line number if it had one, its text, the device's time in seconds."""

    number: int | None
    command: str
    time: float


@dataclass(slots=True)
class Counters:
    """What happened on the device's end of the line."""

    accepted: int = 0
    resends: int = 0  # asked for
    bad_checksums: int = 0
    out_of_order: int = 0
    overruns: int = 0  # bytes that found the receive buffer full
    underruns: int = 0  # times that the planner ran dry between two moves
    max_in_flight: int = 0  # lines taken in and not yet answered


class Oracle:
    """Records every accepted command.

    Args:
        file: takes each command as a line of JSON as it comes.
        keep: how many of the last commands stay in `commands`; None keeps all.
    """

    def __init__(self, file: TextIO | None = None, keep: int | None = 1000) -> None:
        self.commands: deque[Accepted] = deque(maxlen=keep)
        self.counters = Counters()
        self._file = file

    def accept(self, number: int | None, command: str, time: float) -> None:
        """Record one command."""
        self.counters.accepted += 1
        self.commands.append(Accepted(number, command, time))
        if self._file is not None:
            self._file.write(json.dumps({"n": number, "command": command, "t": round(time, 6)}) + "\n")
