"""The errors of the connection to a printer; `gcode.errors` has the root of the tree.

NozzledError
├── AddressError                 a printer address that cannot be understood ("seril:/dev/x", "sim?sped=2")
├── NotConnected                 the printer is needed while it is not connected
├── RecordingError               a recorded session cannot be read: no such file, no recording, another version
├── ScenarioError                a scenario of the simulated printer is wrong: names the setting and its value
└── PortError                    the port itself
    ├── NoSuchPort               /dev/ttyACM0 does not exist; `serial:auto` found no port
    ├── PortPermission           this user may not open the port; names the group that may
    ├── PortBusy                 another program holds the port; names the program if it is visible
    ├── AmbiguousPort            `serial:auto` found several ports; lists them
    ├── PortLost                 the port was unplugged, or closed at the other end
    ├── ReplayDiffers            the host differs from the recording that is replayed
    └── HandshakeFailed          the port is open, but nothing that speaks G-code answers
"""

from gcode.errors import NozzledError


class AddressError(NozzledError):
    """A printer address that cannot be understood; says which part."""


class NotConnected(NozzledError):
    """The printer is needed while it is not connected."""


class RecordingError(NozzledError):
    """A recorded session cannot be read or replayed; says why."""


class ScenarioError(NozzledError):
    """A scenario of the simulated printer cannot be read or is wrong; says what is allowed."""


class PortError(NozzledError):
    """The port of the printer cannot be opened, or is gone."""


class NoSuchPort(PortError):
    """The port does not exist."""


class PortPermission(PortError):
    """The port exists, but this user may not open it."""


class PortBusy(PortError):
    """Another program holds the port."""


class AmbiguousPort(PortError):
    """`serial:auto` could mean several ports."""


class PortLost(PortError):
    """The port was unplugged, or closed at the other end."""


class ReplayDiffers(PortError):
    """The host differs from the recording."""


class HandshakeFailed(PortError):
    """Nothing that speaks G-code answers on the port."""
