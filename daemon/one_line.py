"""Whether a text is one line: no control characters, no line breaks, no halves of characters."""

import re

_BREAKS = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")
"""Unicode's categories Cc, Cs, Zl and Zp, all of them; `unicodedata` would cost a quarter of a megabyte."""


def is_one_line(text: str) -> bool:
    """Tell whether a text has none of these in it."""
    return _BREAKS.search(text) is None
