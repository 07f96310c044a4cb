"""What can go wrong in the service; the tree's root is drawn in `gcode.errors`.

NozzledError
└── ServiceError                 the daemon's own branch
    ├── ConfigError              a configuration that is invalid (unknown key, "port = 99999")
    │   └── DamagedFile          a file of the service with content that it never writes (keys.json holds "[]")
    ├── KeepsCrashing            the process ended too often before its printer answered; systemd turns heaters off
    ├── StateDirTaken            another daemon, or another front, holds the state directory; names it
    ├── AddressInUse             another program listens on the HTTP port; names it where it can be seen
    ├── PortNotAllowed           a client wants to connect to a port that is not allowed
    ├── CoreAway                 the core, which owns the printer, is not running or does not answer (it restarts)
    │   └── OtherVersion         the core is of another version, and does not understand the question
    ├── TooLate                  the core got to a question after its client had given up
    ├── NoSuchCompanion          a companion (power, timelapse, notify) that is not switched on
    ├── CompanionAway            a companion that is switched on is not running, or does not answer
    ├── StoreError               a database that cannot be opened, or was made by a newer version
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
    │   ├── CannotGoOn           a job cannot be reattached (the computer rebooted)
    │   └── StepsDiffer          the previous host sent other commands in this state: the configuration was changed
    └── FileError                a request about the folder of uploads
        ├── BadFileName          a name that is refused ("../x.gcode", NUL, 300 bytes long)
        ├── NoSuchFile           there is no such file or folder
        ├── NoSuchPlace          a print cannot be resumed there (layer 12 of 9, "nothing is printed before that place")
        ├── FileExists           the name is taken, and overwriting was not requested
        ├── FileInUse            the file is being printed, or the folder holds such a file
        ├── IsAFolder            a folder where a file is needed
        ├── NotAFolder           a file where a folder is needed
        ├── NotPrintable         not a G-code file by its name ("part.stl")
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
    """The service has ended again and again before its printer answered."""


class StateDirTaken(ServiceError):
    """Another daemon, or another front, holds the state directory."""


class CameraError(ServiceError):
    """A camera gives no picture; says whose address it is, and why."""


class AnalysisFailed(ServiceError):
    """A file could not be analysed: the process for it died, or took too long."""


class AddressInUse(ServiceError):
    """Another program listens on the HTTP address."""

    @classmethod
    def of(cls, host: str, port: int, error: OSError) -> Self:
        """Return the error for an address at which this process cannot listen."""
        if error.errno != errno.EADDRINUSE:
            return cls(f"cannot listen on {host}:{port}: {error.strerror or error}")
        from hal import holders  # noqa: PLC0415 - only needed for this message

        return cls(f"the HTTP port {host}:{port} is taken by {holders.describe(holders.of_tcp_port(port))}")


class PortNotAllowed(ServiceError):
    """A client wants to connect to a port that is neither listed nor allowed."""


class CoreAway(ServiceError):
    """The core is not running, or does not answer; it restarts by itself."""


class TooLate(ServiceError):
    """A question came too late to the core, and was not carried out: its client has given up."""


class OtherVersion(CoreAway):
    """The core is of another version than the front, and question or answer is not understood."""


class NoSuchCompanion(ServiceError):
    """The companion is not switched on."""


class CompanionAway(ServiceError):
    """The companion is switched on, but is not running or does not answer."""


class StoreError(ServiceError):
    """The database cannot be opened, or was made by a newer version."""


class AccessError(ServiceError):
    """What was asked of the API's access cannot be done, or not by this one."""


class KeyRefused(AccessError):
    """No key, a wrong one, or one that does not allow what was asked for."""


class TooManyAttempts(AccessError):
    """Too many wrong keys came from one address; `wait` is how many seconds none is looked at."""

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
    """What was asked of a job cannot be done."""


class JobConflict(JobError):
    """The command does not fit the state of the job."""


class NeverBegan(JobConflict):
    """The print of an idempotency key was recorded, and never began: its host died in between."""


class KeyReused(JobError):
    """An idempotency key was used for another request before."""


class NoSuchEntry(JobError):
    """The queue has no entry of this number."""


class NoSuchPrint(JobError):
    """The history has no print of this number."""


class BadJobKey(JobError):
    """A text that is no idempotency key."""


class UnfitFile(JobError):
    """What is known of the file speaks against printing it; says what, and that it can be forced."""

    def __init__(self, text: str, reasons: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.reasons = tuple(reasons)


class Unsafe(JobError):
    """A rule of safety is broken; says which, and what was measured."""


class NoHeat(JobError):
    """A heater that the file waits for stays cold; says which, and what is known."""


class PrinterRefused(JobError):
    """The printer has answered a line of the print with an error; says which, and what it said."""


class CannotGoOn(JobError):
    """A job cannot go on where the previous host left it; says why."""


class StepsDiffer(JobError):
    """The previous host sent other commands at this place, as with another configuration."""


class FileError(ServiceError):
    """What was asked of the uploads' folder cannot be done."""


class BadFileName(FileError):
    """A name that is refused; says what is wrong with it."""


class NoSuchFile(FileError):
    """There is no file or folder of this name."""


class NoSuchPlace(FileError):
    """There is no such place in a file, or no print could go on from it."""


class FileExists(FileError):
    """The name is taken, and overwriting was not asked for."""


class FileInUse(FileError):
    """The file is being printed, or the folder holds such a file."""


class IsAFolder(FileError):
    """A file was needed, and a folder is there."""


class NotAFolder(FileError):
    """A folder was needed, and a file is there."""


class NotPrintable(FileError):
    """No G-code file, judged by its name."""


class UploadBroken(FileError):
    """The upload ended before it was complete."""


class StorageFull(FileError):
    """No room is left for the file."""
