"""What can go wrong in the service; the tree's root is drawn in `gcode.errors`.

NozzledError
└── ServiceError                 the daemon's own branch
    ├── ConfigError              a configuration that is invalid (unknown key, "port = 99999")
    │   └── DamagedFile          a file of the service with content that it never writes (keys.json holds "[]")
    ├── KeepsCrashing            the process ended too often before its printer answered; systemd turns heaters off
    ├── StateDirTaken            another daemon, or another front, holds the state directory; names it
    ├── AddressInUse             the HTTP address cannot be used: another program listens there, or it is not ours
    ├── PortNotAllowed           a client wants to connect to a port that is not allowed
    ├── CoreAway                 the core, which owns the printer, is not running or does not answer (it restarts)
    │   └── OtherVersion         core and front are of different versions, and one does not understand the other
    ├── TooLate                  the core got to a question after its client had given up
    ├── NoSuchCompanion          a companion (power, timelapse, notify) that is not switched on
    ├── CompanionAway            a companion that is switched on is not running, or does not answer
    ├── StoreError               a database that cannot be opened, read or written
    ├── AnalysisFailed           a file could not be analysed: the process for it died or took too long
    ├── CameraError              a camera gives no picture: no answer, no JPEG, too large
    ├── AccessError              who may use the API
    │   ├── KeyRefused           no key, a wrong one, or one that does not allow this
    │   ├── TooManyAttempts      too many wrong keys from one address
    │   ├── TooManyRequests      too many apps wait for a decision
    │   ├── BadKeyName           a name that a key cannot have ("", 65 characters)
    │   ├── KeyNameTaken         another key has the name
    │   └── NoSuchKey            there is no key of this name
    ├── JobError                 a request about a job
    │   ├── JobConflict          the command does not fit the job's state ("start" while printing)
    │   │   └── NeverBegan       a print was recorded with its key, and the host died before it began
    │   ├── KeyReused            an idempotency key was used for another request before
    │   ├── NoSuchEntry          the queue has no entry of this number
    │   ├── NoSuchPrint          the history has no print of this number
    │   ├── BadJobKey            an idempotency key that cannot be one ("", 300 characters)
    │   ├── UnfitFile            the analysis forbids printing the file (outside the build volume)
    │   ├── Unsafe               a rule of `daemon.core.safety.rules` is broken (a heater does not get warmer)
    │   ├── NoHeat               a heater that the file waits for stays cold (the firmware keeps it off)
    │   ├── PrinterRefused       the printer answered a line of the print with an error ("!! Must home axis first")
    │   ├── CannotReattach       a job cannot be reattached (the computer rebooted)
    │   └── StepsDiffer          the previous host sent other commands in this state: the configuration was changed
    └── FileError                a request about the folder of uploads
        ├── BadFileName          a name that is refused ("../x.gcode", NUL, 300 bytes long)
        ├── NoSuchFile           there is no such file or folder
        ├── NoSuchPlace          a print cannot be resumed there (layer 12 of 9, "nothing is printed before that place")
        ├── FileExists           the name is taken, and overwriting was not requested
        ├── FileInUse            the file is being printed, or the folder holds such a file
        ├── IsAFolder            a folder where a file is needed
        ├── NotAFolder           a file where a folder is needed
        ├── NotPrintable         not a G-code file, by its name ("part.stl") or its content
        ├── UncheckedFile        the file to print has been changed since it was checked
        ├── UploadBroken         the upload ended before it was complete
        └── StorageFull          no room left for the file
"""

import errno
from collections.abc import Sequence
from typing import Self

from gcode.errors import NozzledError


class ServiceError(NozzledError):
    """Something in the service itself, not at the printer, went wrong."""


class ConfigError(ServiceError):
    """A configuration that cannot be used; names the file, the key and what is allowed."""


class DamagedFile(ConfigError):
    """A file of the service has content that the service never writes."""


class KeepsCrashing(ServiceError):
    """The service has ended too often before its printer answered."""


class StateDirTaken(ServiceError):
    """Another daemon, or another front, holds the state directory."""


class CameraError(ServiceError):
    """A camera gives no picture; the text has the reason."""


class AnalysisFailed(ServiceError):
    """A file could not be analysed: the process for it died, or took too long."""


class AddressInUse(ServiceError):
    """The daemon cannot listen on the HTTP address; names the program that does, if that can be found out."""

    @classmethod
    def of(cls, host: str, port: int, error: OSError) -> Self:
        """Return the error for an address at which this process cannot listen."""
        if error.errno != errno.EADDRINUSE:
            reason = str(error.strerror or error).partition(" (while attempting")[0]  # asyncio repeats the address
            return cls(f"cannot listen on {host}:{port}: {reason}; choose another address (http.host, --host)")
        from hal import holders  # noqa: PLC0415 - only needed for this message

        holder = holders.describe(holders.of_tcp_port(port))
        remedy = "end it, or choose another port (http.port, --port)"
        return cls(f"the HTTP port {host}:{port} is taken by {holder}: {remedy}")


class PortNotAllowed(ServiceError):
    """A client wants to connect to a port that is neither listed nor allowed."""


class CoreAway(ServiceError):
    """The core is not running, or does not answer; it restarts by itself."""


class TooLate(ServiceError):
    """A question came too late to the core, and was not carried out: its client has given up."""


class OtherVersion(CoreAway):
    """Core and front are of different versions, and one does not understand the other."""


class NoSuchCompanion(ServiceError):
    """The companion is not switched on."""


class CompanionAway(ServiceError):
    """The companion is switched on, but is not running or does not answer."""


class StoreError(ServiceError):
    """The database cannot be opened, read or written."""


class AccessError(ServiceError):
    """A request without the right to make it, or one about keys that cannot be carried out."""


class KeyRefused(AccessError):
    """There is no key, a wrong one, or one that does not allow the request."""


class TooManyAttempts(AccessError):
    """Too many wrong keys came from one address; for `wait` seconds, only a valid key from it gets another answer."""

    def __init__(self, text: str, wait: float) -> None:
        super().__init__(text)
        self.wait = wait


class TooManyRequests(AccessError):
    """Too many apps wait for a decision."""


class BadKeyName(AccessError):
    """A name that a key cannot have."""


class KeyNameTaken(AccessError):
    """Another key has the name."""


class NoSuchKey(AccessError):
    """There is no key of this name."""


class JobError(ServiceError):
    """A request about a job cannot be carried out."""


class JobConflict(JobError):
    """The command does not fit the state of the job."""


class NeverBegan(JobConflict):
    """A print was recorded with its idempotency key, but its host died before it began."""


class KeyReused(JobError):
    """An idempotency key was used for another request before."""


class NoSuchEntry(JobError):
    """The queue has no entry of this number."""


class NoSuchPrint(JobError):
    """The history has no print of this number."""


class BadJobKey(JobError):
    """A text that cannot be an idempotency key."""


class UnfitFile(JobError):
    """The file should not be printed; the text has the reasons, and how to print it all the same."""

    def __init__(self, text: str, reasons: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.reasons = tuple(reasons)


class Unsafe(JobError):
    """A safety rule is broken; the text names it, with the measured values."""


class NoHeat(JobError):
    """A heater that the file waits for stays cold; the text names it, with the cause as far as known."""


class PrinterRefused(JobError):
    """The printer answered a line of the print with an error; the text quotes both."""


class CannotReattach(JobError):
    """A job cannot be reattached; the text says why."""


class StepsDiffer(JobError):
    """The previous host sent other commands in this state; the configuration may have been changed."""


class FileError(ServiceError):
    """A request about the folder of uploads cannot be carried out."""


class BadFileName(FileError):
    """A name that is refused; the text says what is wrong with it."""


class NoSuchFile(FileError):
    """There is no file or folder of this name."""


class NoSuchPlace(FileError):
    """There is no such place in the file, or a print cannot be resumed there."""


class FileExists(FileError):
    """The name is taken, and overwriting was not requested."""


class FileInUse(FileError):
    """The file is being printed, or the folder holds such a file."""


class IsAFolder(FileError):
    """A file is needed, but there is a folder."""


class NotAFolder(FileError):
    """A folder is needed, but there is a file."""


class NotPrintable(FileError):
    """Not a G-code file, by its name or its content."""


class UncheckedFile(FileError):
    """The file to print has been changed since it was checked."""


class UploadBroken(FileError):
    """The upload ended before it was complete."""


class StorageFull(FileError):
    """No room is left for the file."""
