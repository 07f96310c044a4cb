"""Compression of answers that are text: a list of a thousand files is a twentieth of its size on the way."""

import gzip
import re

SMALL = 1024  # bytes; what is smaller is sent as it is
LARGE = 64 * 1024  # bytes; more than that is compressed in a thread, or not at all
LEVEL = 5

_TEXTS = ("application/json", "text/")
_REFUSED = re.compile(r"gzip\s*;\s*q=0(?:\.0*)?\s*(?:,|$)")


def accepts(accept_encoding: str) -> bool:
    """Tell whether a client takes gzip."""
    return "gzip" in accept_encoding and not _REFUSED.search(accept_encoding)


def is_worth_it(content_type: str, size: int) -> bool:
    """Tell whether an answer of this kind and so many bytes becomes smaller."""
    return size > SMALL and content_type.startswith(_TEXTS)


def packed(data: bytes) -> bytes:
    """Return the data by gzip, the same each time; takes some 20 ms for a MiB."""
    return gzip.compress(data, LEVEL, mtime=0)
