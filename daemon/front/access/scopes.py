"""Scope and Identity: what a key allows, and who makes a request. Pure."""

from enum import IntEnum

from gcode.frozen import frozen

OWNER = "owner"
LOCAL = "_local"
"""The names of the first key and of a local client without a key, as identities. OWNER is not `_api`:
clients know that as OctoPrint's deprecated global key, and some refuse it."""


class Scope(IntEnum):
    """What a key allows; each scope includes the ones before it."""

    READ = 1  # see everything
    CONTROL = 2  # control the printer, print, upload and delete files
    ADMIN = 3  # create and revoke keys, shut down the machine

    @classmethod
    def named(cls, name: str) -> "Scope":
        """Return the scope with this name, in lower case.

        Raises:
            ValueError: there is no such scope.
        """
        for scope in cls:
            if scope.label == name:
                return scope
        raise ValueError(f"a scope is one of {', '.join(scope.label for scope in cls)}, not {name!r}")

    @property
    def label(self) -> str:
        """The name, in lower case."""
        return self.name.lower()


@frozen
class Identity:
    """Who makes a request.

    Attributes:
        name: of the key; `owner` for the first one.
        scope: what it allows.
        digest: of the key; empty if none was needed.
        base: after a step-up, the scope of the key itself.
    """

    name: str
    scope: Scope
    digest: str = ""
    base: Scope | None = None


_PERMISSIONS: dict[Scope, tuple[str, ...]] = {
    Scope.READ: ("STATUS", "WEBCAM", "FILES_LIST", "FILES_DOWNLOAD", "GCODE_VIEWER", "MONITOR_TERMINAL"),
    Scope.CONTROL: ("CONNECTION", "FILES_UPLOAD", "FILES_DELETE", "FILES_SELECT", "PRINT", "CONTROL", "SETTINGS_READ"),
    Scope.ADMIN: ("SYSTEM", "SETTINGS", "ADMIN"),
}  # fmt: skip


def permissions(scope: Scope) -> list[str]:
    """Return OctoPrint's permissions of a scope."""
    return [name for each in Scope if each <= scope for name in _PERMISSIONS[each]]


def groups(scope: Scope) -> list[str]:
    """Return OctoPrint's groups that come closest to a scope."""
    return {Scope.READ: ["readonly"], Scope.CONTROL: ["users"], Scope.ADMIN: ["admins", "users"]}[scope]
