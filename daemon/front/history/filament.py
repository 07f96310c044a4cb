"""How much filament a print has used, by the place of the last line of its file that the printer has acknowledged.

Nothing is counted line by line while it prints: the analysis has added up, tool by tool, what the lines before each
place of the file extrude. A print that completed has used all of it.
"""

from typing import Any

from daemon.front.analysis.findings import Findings


def used(found: Findings, offset: int, *, complete: bool) -> list[dict[str, Any]]:
    """Return what each tool has used: length in mm, volume in cm³, weight in g, and of which material."""
    plan = found.plan()
    said = found.summary.get("about", {}).get("filaments", ())
    shown = []
    for use in found.summary.get("tools", ()):
        about = said[use["tool"]] if use["tool"] < len(said) else {}
        weight, whole = about.get("weight"), use["length_mm"]
        share = 1.0 if complete or not whole else min(1.0, plan.used_at(offset, use["tool"]) / whole)
        shown.append(
            {
                "tool": use["tool"],
                "length": round(whole * share, 2),
                "volume": round(use["volume_mm3"] / 1000 * share, 4),
                "weight": round(weight * share, 3) if weight is not None else None,
                "material": about.get("type"),
            }
        )
    return shown
