"""Which keys of a document a client wants changed, by their paths."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any


def differences(
    document: Mapping[str, Any], current: Mapping[str, Any], ignored: Collection[str], path: str = ""
) -> Iterator[tuple[str, Any]]:
    """Yield path and new value of each key that differs, such as `volume.width`; unknown keys are passed over.

    Args:
        document: what the client sends: often the whole document, with one value changed.
        current: the document as it is.
        ignored: paths that are passed over.
        path: the prefix of all paths.
    """
    for name, value in document.items():
        key = f"{path}{name}"
        if name not in current or key in ignored:
            continue
        if isinstance(current[name], dict) and isinstance(value, dict):
            yield from differences(value, current[name], ignored, f"{key}.")
        elif value != current[name] or isinstance(value, bool) is not isinstance(current[name], bool):
            yield key, value
