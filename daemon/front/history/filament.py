"""How much filament a print has used, by the place of the last line of its file that the printer has acknowledged.

Nothing is counted line by line: the analysis knows what the whole file takes, and when it is where. A print that
completed has used all of it; of another one the share that was behind it counts, by the planned time since its first
layer, in which filament is laid at a nearly even pace.
"""

from typing import Any

from daemon.front.analysis.findings import Findings


def used(found: Findings, offset: int, *, complete: bool) -> list[dict[str, Any]]:
    """Return what each tool has used: length in mm, volume in cm³, weight in g, and of which material."""
    share = 1.0 if complete else _share(found, offset)
    said = found.summary.get("about", {}).get("filaments", ())
    shown = []
    for use in found.summary.get("tools", ()):
        about = said[use["tool"]] if use["tool"] < len(said) else {}
        weight = about.get("weight")
        shown.append(
            {
                "tool": use["tool"],
                "length": round(use["length_mm"] * share, 2),
                "volume": round(use["volume_mm3"] / 1000 * share, 4),
                "weight": round(weight * share, 3) if weight is not None else None,
                "material": about.get("type"),
            }
        )
    return shown


def _share(found: Findings, offset: int) -> float:
    plan = found.plan()
    begins = plan.seconds_at(plan.first_layer)
    laying = plan.duration - begins
    return min(1.0, max(0.0, (plan.seconds_at(offset) - begins) / laying)) if laying > 0 else 0.0
