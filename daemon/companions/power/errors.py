"""Errors of switches; the text is a sentence for the user, and never contains a password."""

from daemon.errors import ServiceError


class DeviceError(ServiceError):
    """A switch does not answer, answers nonsense, or does not switch. The text names it, and quotes its answer."""
