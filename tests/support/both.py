"""Core and front in one process, with the bridge between them in memory."""

from typing import Any

from daemon.app import CoreAndFront


class Service:
    """Gives access to the attributes of the core, and to those of the front that the core does not have."""

    def __init__(self, both: CoreAndFront):
        self.both = both
        self.core, self.front = both.core, both.front

    def __getattr__(self, name: str) -> Any:
        core = self.__dict__["core"]
        return getattr(core if hasattr(core, name) else self.__dict__["front"], name)

    def uploaded(self) -> dict[str, bytes]:
        """Return every file below the uploads, even those that clients do not see."""
        root = self.files.root
        return {str(each.relative_to(root)): each.read_bytes() for each in root.rglob("*") if each.is_file()}
