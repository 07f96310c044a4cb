"""The files of the farm's page: its own, and a few of the printer's page, which has looks and words of the same kind.

Nothing is copied. The farm's folder lies over these: what they import by a name that both have (`store.mjs`,
`state.mjs`, `texts.mjs`) is the farm's.
"""

import hashlib
from pathlib import Path
from typing import Literal

import msgspec

OWN = Path(__file__).parent / "page"
PRINTERS = Path(__file__).parents[1] / "front" / "page"
"""Read as files; the farm imports nothing of a printer's front."""

SHARED = frozenset(
    {"page.css", "html.mjs", "api.mjs", "widgets.mjs", "words.mjs", "reorder.mjs", "looks.mjs", "icon.svg"}
)
VENDOR = "vendor"
INDEX = "index.html"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)
"""What a browser lets the page do (Content-Security-Policy)."""

KINDS: dict[str, Literal["text/html", "text/javascript", "text/css", "image/svg+xml"]] = {
    ".html": "text/html",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
"""What is served; other files are not."""


class FarmPageFile(msgspec.Struct, frozen=True):
    """A file as it is sent.

    Attributes:
        kind: its content type.
        digest: of the data, for an ETag.
    """

    kind: str
    data: bytes
    digest: str


def find(name: str) -> FarmPageFile | None:
    """Return the file of this name, "" being the page itself; None: there is none. Reads the disk, some 10 KB."""
    path = path_of(name or INDEX)
    if path is None:
        return None
    data = path.read_bytes()
    return FarmPageFile(f"{KINDS[path.suffix]}; charset=utf-8", data, hashlib.sha256(data).hexdigest()[:12])


def path_of(name: str) -> Path | None:
    """Return where the file of this name lies; None: there is none, or it is not for browsers."""
    folder, _, base = name.rpartition("/")
    if Path(base).suffix not in KINDS or base.startswith(".") or "\\" in base or "\0" in base:
        return None
    if folder == VENDOR:
        path = PRINTERS / VENDOR / base
    elif not folder and (own := OWN / base).is_file():
        path = own
    elif name in SHARED:
        path = PRINTERS / base
    else:
        return None
    return path if path.is_file() else None
