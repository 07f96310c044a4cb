"""The error tree. `hal.errors` and `daemon.errors` grow their branches on it.

NozzledError
├── CommandError                 what a person or a file wrote is no command ("M104 S" CR "G28")
├── LinkError                    the conversation with the printer went wrong
│   ├── LocalProtocolError       our fault or the caller's: the link was asked for what it may not do
│   │   ├── ForbiddenCommand     a command that would take the link's line counter away (M110, M28, …)
│   │   └── QueueFull            clients send commands faster than the printer takes them
│   └── RemoteProtocolError      the printer's fault
│       ├── ResendLoop           the same line asked for again and again
│       ├── ResendOutOfReach     a line asked for that was never sent, or is no longer held
│       ├── PrinterSilent        no answer, nor a sign of life, for too long
│       ├── PrinterReset         the board said `start` in the middle: it has forgotten everything
│       └── FirmwareHalted       the firmware has stopped (kill, MINTEMP, thermal runaway), or was stopped by M112
├── hal.errors.PortError         the line to the printer: no such port, no permission, busy, gone
└── daemon.errors.ServiceError   configuration, files, store, jobs
"""


class NozzledError(Exception):
    """Base of all errors of this project; `str()` is a sentence for the user."""


class CommandError(NozzledError):
    """Text that is no G-code command; says what is wrong with it."""


class LinkError(NozzledError):
    """The conversation with the printer went wrong."""


class LocalProtocolError(LinkError):
    """The link was asked for something that it may not do."""


class ForbiddenCommand(LocalProtocolError):
    """A command that belongs to the link: sent by anyone else it would take the line counter away."""


class QueueFull(LocalProtocolError):
    """As many commands of clients wait for the printer as may wait; says how many."""


class RemoteProtocolError(LinkError):
    """The printer broke the protocol or gave up."""


class ResendLoop(RemoteProtocolError):
    """The printer asks for the same line again and again, as with a line that it always cuts."""


class ResendOutOfReach(RemoteProtocolError):
    """The printer asks for a line that was never sent or is no longer held."""


class PrinterSilent(RemoteProtocolError):
    """No answer and no sign of life for longer than any command may take."""


class PrinterReset(RemoteProtocolError):
    """The board restarted: position, temperatures and line numbers are gone."""


class FirmwareHalted(RemoteProtocolError):
    """The firmware stopped itself and will not answer until it is reset."""
