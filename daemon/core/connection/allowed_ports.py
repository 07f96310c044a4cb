"""Ports as clients name them, and the globs that allow some of them. Pure."""

import fnmatch
import os.path

from hal.registry import Address, parse


def address_of(port: str) -> Address:
    """Return the address that a client has named, by an address or by the plain path of a serial port.

    Raises:
        AddressError: it is neither.
    """
    return parse(str(Address("serial", port)) if port.startswith("/") else port)


def matches(path: str, glob: str) -> bool:
    """Tell whether a glob allows a path. Each part is compared by itself, so `*` crosses no `/`.

    A path that leads upwards is never allowed: `..` would match `*` too.
    """
    if os.path.normpath(path) != path or path.startswith("//"):
        return False
    parts, patterns = path.split("/"), glob.split("/")
    return len(parts) == len(patterns) and all(map(fnmatch.fnmatchcase, parts, patterns))
