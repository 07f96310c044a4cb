"""The topics of a printer. They never contain texts of a file or of the printer."""

import re

from gcode.frozen import frozen

MAX_LENGTH = 64
"""Characters of a printer's id, and of an event's name."""

_OTHER = re.compile(r"[^A-Za-z0-9_-]")


def clean(text: str) -> str:
    """Return a text with only those characters that topics and Home Assistant's ids allow."""
    return _OTHER.sub("_", text)[:MAX_LENGTH]


@frozen
class Topics:
    """The topics of one printer, all below its base, such as `nozzled/<id>`."""

    base: str

    @property
    def availability(self) -> str:
        """The topic with `online`, or `offline` once this process has ended; if it died, the broker publishes that."""
        return f"{self.base}/availability"

    @property
    def command(self) -> str:
        """The topic for commands."""
        return f"{self.base}/command"

    @property
    def result(self) -> str:
        """The topic for the results of commands."""
        return f"{self.base}/result"

    def of_part(self, part: str) -> str:
        """Return the topic of `state`, `job`, `temperatures`, `link` or `host`."""
        return f"{self.base}/{part}"

    def of_event(self, name: str) -> str:
        """Return the topic of an event."""
        return f"{self.base}/event/{clean(name)}"
