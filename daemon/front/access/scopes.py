"""What a key allows, and who came with it. Pure."""

from enum import IntEnum

from gcode.frozen import frozen

FIRST = "owner"
LOCAL = "_local"
"""Names of who comes with the first key, and of who needs none. Not `_api` for the first: clients know that as
OctoPrint's deprecated global key, and some refuse it."""


class Scope(IntEnum):
    """What a key allows; each scope includes the ones before it."""

    READ = 1  # look at everything
    CONTROL = 2  # steer the printer, print, upload and delete files
    ADMIN = 3  # give and take keys, shut the machine down

    @classmethod
    def named(cls, name: str) -> "Scope":
        """Return the scope of this name, in small letters.

        Raises:
            ValueError: there is none.
        """
        for scope in cls:
            if scope.label == name:
                return scope
        raise ValueError(f"a scope is one of {', '.join(scope.label for scope in cls)}, not {name!r}")

    @property
    def label(self) -> str:
        """Its name, as people write it."""
        return self.name.lower()


@frozen
class Identity:
    """Who makes a request.

    Attributes:
        name: of the key; `owner` for the first one.
        scope: what it allows.
        digest: of the key; empty where none was needed.
        base: what the key itself allows, where it has stepped up for a while.
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
    """Return OctoPrint's names for what a scope allows."""
    return [name for each in Scope if each <= scope for name in _PERMISSIONS[each]]


def groups(scope: Scope) -> list[str]:
    """Return OctoPrint's groups that a scope comes nearest to."""
    return {Scope.READ: ["readonly"], Scope.CONTROL: ["users"], Scope.ADMIN: ["admins", "users"]}[scope]
