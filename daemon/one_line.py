"""Tells whether a text is one line: no control characters, no line breaks, no surrogates."""

import re

_BREAKS = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")
"""All of Unicode's categories Cc, Cs, Zl and Zp; `unicodedata` would cost a quarter of a megabyte."""


def is_one_line(text: str) -> bool:
    """Tell whether a text is one line."""
    return _BREAKS.search(text) is None
