"""How a link to the page is shown on a terminal: to be clicked, scanned or typed."""

import io
from collections.abc import Sequence

import segno

_THIS_MACHINE = ("http://127.", "http://localhost", "http://[::1]")


def invitation_text(links: Sequence[str], scope: str, seconds: float) -> str:
    """Return the links, what they are good for, and the first as a QR code if a phone can come there."""
    first, *others = links
    local = first.startswith(_THIS_MACHINE)
    lines = ["", *([] if local else [picture(first), ""]), f"  {first}", *(f"  or {other}" for other in others), ""]
    lines.append(f"  One browser is let in by it, within {seconds / 60:.0f} minutes; its key allows: {scope}.")
    if local:
        lines.append("  Only this machine can open it; --host 0.0.0.0 (http.host) lets others come.")
    return "\n".join([*lines, ""])


def picture(link: str) -> str:
    """Return a QR code for a terminal, two rows in each line."""
    drawn = io.StringIO()
    segno.make(link, error="m").terminal(drawn, compact=True)
    return drawn.getvalue().rstrip("\n")
