"""Errors of the farm; each text is a sentence for the user.

FarmError
├── BadJob           a field of a job has a value that is not allowed (0 copies, a nozzle of -1 mm)
├── NoSuchJob        no job has this id or number
├── NoSuchCopy       no copy has this id
├── UnknownFile      no stored file has this hash
├── FarmConflict     the state of the job or copy does not allow this
│   ├── StaleRevision    the job was changed by another client in the meantime
│   └── IdempotencyKeyReused    the idempotency key was used for a different job before
└── ListAway         the database of the list does not answer
"""

from daemon.errors import ServiceError


class FarmError(ServiceError):
    """An error of the farm."""


class BadJob(FarmError):
    """A field of a job has a value that is not allowed."""


class NoSuchJob(FarmError):
    """No job has this id or number."""


class NoSuchCopy(FarmError):
    """No copy has this id."""


class UnknownFile(FarmError):
    """No stored file has this hash."""


class FarmConflict(FarmError):
    """The state of the job or copy does not allow this."""


class StaleRevision(FarmConflict):
    """The job was changed by another client in the meantime."""


class IdempotencyKeyReused(FarmConflict):
    """The idempotency key was used for a different job before."""


class ListAway(FarmError):
    """The database of the list does not answer."""
