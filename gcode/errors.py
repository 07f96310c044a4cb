"""The error tree. `hal.errors` and `daemon.errors` grow their branches on it.

NozzledError
├── CommandError                 a text of a user or a file is no command (`hello`)
├── LinkError                    the conversation with the printer went wrong
│   ├── LocalProtocolError       the host's or a client's fault: the link cannot do what it was asked to do
│   │   ├── ForbiddenCommand     a command that only the link may send (M110, M28, …)
│   │   └── QueueFull            clients send commands faster than the printer executes them
│   └── RemoteProtocolError      the printer's fault
│       ├── ResendLoop           the same line requested again and again
│       ├── ResendOutOfReach     a line requested that was never sent, or is no longer held
│       ├── PrinterSilent        no answer and no sign of life for too long
│       ├── PrinterReset         the board restarted: it has forgotten everything
│       └── FirmwareHalted       the firmware halted (kill, MINTEMP, thermal runaway), or was stopped by M112
├── hal.errors.PortError         the connection to the printer: no such port, no permission, busy, gone
└── daemon.errors.ServiceError   configuration, files, store, jobs
"""


class NozzledError(Exception):
    """Base of all errors of this project; `str()` is a sentence for the user."""


class CommandError(NozzledError):
    """A text that is no G-code command; says what is wrong with it."""


class LinkError(NozzledError):
    """The conversation with the printer went wrong."""


class LocalProtocolError(LinkError):
    """The link cannot do what it was asked to do."""


class ForbiddenCommand(LocalProtocolError):
    """A command that only the link may send; says why."""


class QueueFull(LocalProtocolError):
    """Too many commands of clients wait for the printer; says how many, or how many may."""


class RemoteProtocolError(LinkError):
    """The printer broke the protocol or gave up."""


class ResendLoop(RemoteProtocolError):
    """The printer requests the same line again and again, for example because it always cuts that line."""


class ResendOutOfReach(RemoteProtocolError):
    """The printer requests a line that was never sent or is no longer held."""


class PrinterSilent(RemoteProtocolError):
    """The printer gave no answer and no sign of life for longer than any command may take."""


class PrinterReset(RemoteProtocolError):
    """The board restarted: position, temperatures and line numbers are gone."""


class FirmwareHalted(RemoteProtocolError):
    """The firmware halted, and obeys nothing until it is reset or revived."""
