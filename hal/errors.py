"""What can go wrong with the line to a printer; the tree's root is drawn in `gcode.errors`.

NozzledError
├── AddressError                 a printer address that means nothing ("seril:/dev/x", "sim?sped=2")
├── NotConnected                 the printer was asked for something while no line is open
├── RecordingError               a recorded session cannot be read: no such file, none of ours, another version
├── ScenarioError                a scenario of the simulated printer makes no sense: names the setting and its value
└── PortError                    the line itself
    ├── NoSuchPort               /dev/ttyACM0 is not there; `serial:auto` found none
    ├── PortPermission           the user may not open it; names the group that may
    ├── PortBusy                 another program holds it; names the holder where it can be seen
    ├── AmbiguousPort            `serial:auto` found more than one; lists them
    ├── PortLost                 unplugged, or the other end closed, in the middle
    ├── ReplayDiffers            a recording stands in for the printer, and the host says something else
    └── HandshakeFailed          the port is open, but nothing that speaks G-code answers
"""

from gcode.errors import NozzledError


class AddressError(NozzledError):
    """A printer address that cannot be understood; says which part."""


class NotConnected(NozzledError):
    """The printer was asked for something while it is not connected."""


class RecordingError(NozzledError):
    """A recorded session cannot be read or replayed; says why."""


class ScenarioError(NozzledError):
    """A scenario of the simulated printer cannot be read or makes no sense; names what, and what is allowed."""


class PortError(NozzledError):
    """The line to the printer cannot be opened or is gone."""


class NoSuchPort(PortError):
    """The port does not exist."""


class PortPermission(PortError):
    """The port exists, but this user may not open it."""


class PortBusy(PortError):
    """Another program holds the port."""


class AmbiguousPort(PortError):
    """More than one port could be meant."""


class PortLost(PortError):
    """The port was there and is gone: unplugged, or closed at the other end."""


class ReplayDiffers(PortError):
    """The host says something else than it did when the session was recorded."""


class HandshakeFailed(PortError):
    """Nothing that speaks G-code answers on the port."""
