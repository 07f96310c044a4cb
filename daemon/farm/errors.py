"""What can go wrong in the farm; each text is a sentence for the user.

FarmError
├── BadWish          what was asked of a job means nothing (0 copies, a nozzle of -1 mm)
├── NoSuchJob        there is no such job
├── NoSuchCopy       there is no such copy
├── UnknownFile      no file of this hash is kept
├── FarmConflict     it does not fit the state of the job or copy
│   ├── StaleRevision    somebody else has changed the job meanwhile
│   └── WishReused       an idempotency key was used for another job before
└── ListAway         the database of the jobs does not answer
"""

from daemon.errors import ServiceError


class FarmError(ServiceError):
    """Something in the farm went wrong."""


class BadWish(FarmError):
    """What was asked of a job means nothing."""


class NoSuchJob(FarmError):
    """There is no such job."""


class NoSuchCopy(FarmError):
    """There is no such copy."""


class UnknownFile(FarmError):
    """No file of this hash is kept."""


class FarmConflict(FarmError):
    """It does not fit the state of the job or copy."""


class StaleRevision(FarmConflict):
    """Somebody else has changed the job meanwhile."""


class WishReused(FarmConflict):
    """An idempotency key was used for another job before."""


class ListAway(FarmError):
    """The database of the jobs does not answer."""
