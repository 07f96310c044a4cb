"""Errors of the connection between server and agents."""

from daemon.errors import ServiceError


class FarmUnreachable(ServiceError):
    """No answer came, and the question may or may not have arrived. Asking the same again does no harm."""


class FarmRefused(ServiceError):
    """The other side refused; the text says why."""
