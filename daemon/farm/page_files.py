"""The files of the farm's page: its own, and some of the printer's page, which are not copied.

A name that both folders have is the farm's file, even where a shared module imports it (`store.mjs`, `state.mjs` and
`texts.mjs`).
"""

import hashlib
from pathlib import Path
from typing import Literal

import msgspec

FARM_PAGE = Path(__file__).parent / "page"
PRINTER_PAGE = Path(__file__).parents[1] / "front" / "page"
"""Only read as files: the farm imports no code of a printer's front."""

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
"""What the page may do in a browser (Content-Security-Policy)."""

KINDS: dict[str, Literal["text/html", "text/javascript", "text/css", "image/svg+xml"]] = {
    ".html": "text/html",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
"""The kinds of files that are served."""


class FarmPageFile(msgspec.Struct, frozen=True):
    """A file of the page.

    Attributes:
        kind: its content type.
        digest: hash of the data, for the ETag.
    """

    kind: str
    data: bytes
    digest: str


def find(name: str) -> FarmPageFile | None:
    """Read a file of the page from the disk; "" is the page itself. None: there is no such file."""
    path = path_of(name or INDEX)
    if path is None:
        return None
    data = path.read_bytes()
    return FarmPageFile(f"{KINDS[path.suffix]}; charset=utf-8", data, hashlib.sha256(data).hexdigest()[:12])


def path_of(name: str) -> Path | None:
    """Return the path of a file of the page; None: there is no such file, or it is not served."""
    folder, _, base = name.rpartition("/")
    if Path(base).suffix not in KINDS or base.startswith(".") or "\\" in base or "\0" in base:
        return None
    if folder == VENDOR:
        path = PRINTER_PAGE / VENDOR / base
    elif not folder and (own := FARM_PAGE / base).is_file():
        path = own
    elif name in SHARED:
        path = PRINTER_PAGE / base
    else:
        return None
    return path if path.is_file() else None
