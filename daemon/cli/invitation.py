"""A link to the page, as a terminal shows it: to be clicked, scanned or typed."""

import io
from collections.abc import Sequence

import segno

_THIS_MACHINE = ("http://127.", "http://localhost", "http://[::1]")


def invitation_text(links: Sequence[str], scope: str, seconds: float) -> str:
    """Return the links and what they allow, with a QR code of the first link if a phone can open it."""
    first, *others = links
    local = first.startswith(_THIS_MACHINE)
    lines = ["", *([] if local else [picture(first), ""]), f"  {first}", *(f"  or {other}" for other in others), ""]
    lines.append(f"  The link lets one browser in, within {seconds / 60:.0f} minutes; its key allows: {scope}.")
    if local:
        lines.append("  Only this computer can open it; --host 0.0.0.0 (http.host) lets others in.")
    return "\n".join([*lines, ""])


def picture(link: str) -> str:
    """Return a QR code for a terminal, two rows in each line."""
    drawing = io.StringIO()
    segno.make(link, error="m").terminal(drawing, compact=True)
    return drawing.getvalue().rstrip("\n")
