"""What can go wrong between server and agents."""

from daemon.errors import ServiceError


class FarmUnreachable(ServiceError):
    """There was no answer: nobody knows whether the question arrived. Asking the same again does no harm."""


class FarmRefused(ServiceError):
    """The other side says no; the text says why."""
