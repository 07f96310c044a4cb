"""FrontState: the front's snapshot for pages, which companions receive too. Pure."""

from collections.abc import Mapping
from typing import Any

_SINGLE = ("analysis", "thumbnail", "toolpath")  # parts of the snapshot that are one value


class FrontState(dict[str, Any]):
    """The values of the snapshot, by part and name, such as `job.state`."""

    def take(self, message: Mapping[str, Any]) -> bool:
        """Apply a message for pages; return whether anything may have changed."""
        if isinstance(whole := message.get("all"), dict):
            self.clear()
            for part, value in whole.items():
                if part in _SINGLE or not isinstance(value, dict):
                    self[part] = value
                else:
                    self.update({f"{part}.{name}": each for name, each in value.items()})
            return True
        if isinstance(changed := message.get("set"), dict):
            self.update(changed)
            return bool(changed)
        return False
