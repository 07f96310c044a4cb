"""The filament that a print has used, by the last acknowledged line of its file.

Nothing is counted during the print: the analysis knows, for each tool, how much the lines before each place in the file
extrude. A completed print has used all of it.
"""

from typing import Any

from daemon.front.analysis.findings import Findings


def usage(findings: Findings, offset: int, *, complete: bool) -> list[dict[str, Any]]:
    """Return the usage of each tool: length in mm, volume in cm³, weight in g, material."""
    plan = findings.plan()
    filaments = findings.summary.get("about", {}).get("filaments", ())
    tools = []
    for use in findings.summary.get("tools", ()):
        filament = filaments[use["tool"]] if use["tool"] < len(filaments) else {}
        weight, whole = filament.get("weight"), use["length_mm"]
        share = 1.0 if complete or not whole else min(1.0, plan.filament_at(offset, use["tool"]) / whole)
        tools.append(
            {
                "tool": use["tool"],
                "length": round(whole * share, 2),
                "volume": round(use["volume_mm3"] / 1000 * share, 4),
                "weight": round(weight * share, 3) if weight is not None else None,
                "material": filament.get("type"),
            }
        )
    return tools
