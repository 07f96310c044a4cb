"""The topics of a printer. Nothing of a file or of the printer's texts is ever in one."""

import re

from gcode.frozen import frozen

_OTHER = re.compile(r"[^A-Za-z0-9_-]")


def cleaned(text: str) -> str:
    """Return a text as it may stand in a topic, and in Home Assistant's ids."""
    return _OTHER.sub("_", text)[:64]


@frozen
class Topics:
    """All below one base, `nozzled/<id>`."""

    base: str

    @property
    def availability(self) -> str:
        """`online` while this process is there: said by it, and by the broker when it is gone."""
        return f"{self.base}/availability"

    @property
    def command(self) -> str:
        """Where others say what is to be done."""
        return f"{self.base}/command"

    @property
    def result(self) -> str:
        """What came of it."""
        return f"{self.base}/result"

    def of(self, part: str) -> str:
        """Return the topic of `state`, `job`, `temperatures`, `link` or `host`."""
        return f"{self.base}/{part}"

    def event(self, name: str) -> str:
        """Return the topic of an event."""
        return f"{self.base}/event/{cleaned(name)}"
