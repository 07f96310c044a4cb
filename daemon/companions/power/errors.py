"""What goes wrong with switches; the text is a sentence for the user, and never has a password in it."""

from daemon.errors import ServiceError


class DeviceError(ServiceError):
    """A switch does not answer, answers nonsense, or does not do as it is told; says which, and what it said."""
