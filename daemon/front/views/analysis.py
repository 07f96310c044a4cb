"""The findings of the analysis as clients see them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from daemon.front.analysis.findings import Brief, Findings, Summary
from daemon.front.analysis.forecast import Outlook
from daemon.front.analysis.store import FileKey, LearntPace
from daemon.front.analysis.toolpaths import toolpath_info
from daemon.front.uploads.tree import TreeEntry

if TYPE_CHECKING:
    from daemon.front.front import Front

TIMES = ("motion", "heating", "homing", "dwell", "probing", "changes")
"""The parts of a print's duration; the slicer's own estimate covers motion only."""

_EDGES = (("width", 0), ("depth", 1), ("height", 2))


def key_of(entry: TreeEntry) -> FileKey:
    """Return the key of an uploaded file."""
    return FileKey(entry.path, entry.size, entry.date)


async def added_fields(service: "Front", entry: TreeEntry, *, details: bool = False) -> dict[str, Any]:
    """Return the fields that an analysis adds to a file; none before the analysis."""
    findings = await service.analyses.get(key_of(entry))
    if findings is None:
        return {}
    fields = of_brief(findings, entry.path)
    if service.companions.is_on("notify"):
        from daemon.front.views import spools  # noqa: PLC0415 - only needed if `notify` is switched on

        fields["gcodeAnalysis"]["warnings"] += spools.warnings(filament(findings), service.companions.state("notify"))
    if details:
        fields["layers"] = findings.plan().layers
    return fields


def of_brief(findings: Brief | Findings | None, path: str) -> dict[str, Any]:
    """Return the fields that an analysis adds to a file in a list."""
    if findings is None:
        return {}
    fields: dict[str, Any] = {"gcodeAnalysis": of_findings(findings, path)}
    if findings.has_thumbnail:
        fields["thumbnail"] = thumbnail_path(path)
    if address := toolpath_path(findings, path):
        fields["toolpath"] = address
    return fields


def thumbnail_path(path: str) -> str:
    """Return the URL path of a file's thumbnail, relative to the server's root."""
    return f"downloads/thumbnails/local/{quote(path)}"


def toolpath_path(findings: Summary, path: str) -> str | None:
    """Return the URL path of a file's toolpath, which is unique to this toolpath; None: there is none."""
    info = toolpath_info(findings)
    return None if info is None else f"api/files/local/{quote(path)}/toolpath?v={info['id']}"


def of_findings(findings: Summary, path: str = "") -> dict[str, Any]:
    """Return OctoPrint's `gcodeAnalysis`, with further fields by Moonraker's names or our own."""
    summary = findings.summary
    fields: dict[str, Any] = {"errors": findings.errors, "warnings": findings.warnings}
    if findings.duration is None:
        return fields
    bounds = summary["bounds"]
    return {
        "estimatedPrintTime": findings.duration,
        "filament": filament(findings),
        "printingArea": _area(bounds["printing"]),
        "dimensions": _dimensions(bounds["printing"]),
        "travelArea": _area(bounds["travel"]),
        "travelDimensions": _dimensions(bounds["travel"]),
        **fields,
        "layers": summary["layer_count"],
        **_about_as_json(summary.get("about", {})),
        "thumbnails": _thumbnails(summary.get("thumbnails", ()), path),
        "slicerEstimate": summary["slicer_estimate_s"],
        "temperatures": summary["temperatures"],
        "objects": summary["objects"],
        "limitsFrom": summary["limits_from"],
        "planner": summary.get("planner", "Marlin"),
        "times": {name: summary.get(f"{name}_s", 0.0) for name in TIMES},
    }


def _about_as_json(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the slicer's metadata in the file, by Moonraker's names where it has them."""
    filaments = about.get("filaments", ())
    weights, costs = ([each[name] for each in filaments] for name in ("weight", "cost"))
    return {
        "slicer": about.get("slicer"),
        "slicer_version": about.get("version"),
        "estimated_time": about.get("estimate"),
        "layer_height": about.get("layer_height"),
        "first_layer_height": about.get("first_layer_height"),
        "first_layer_extr_temp": about.get("first_layer_hotend"),
        "first_layer_bed_temp": about.get("first_layer_bed"),
        "chamber_temp": about.get("chamber"),
        "nozzle_diameter": about.get("nozzle"),
        "printer_model": about.get("printer"),
        "filament_type": _joined(each["type"] for each in filaments),
        "filament_name": _joined(each["name"] for each in filaments),
        "filament_colors": [each["colour"] or "" for each in filaments] if _any_has(filaments, "colour") else [],
        "filament_weights": [weight or 0.0 for weight in weights] if _any_has(filaments, "weight") else [],
        "filament_weight_total": sum(each or 0.0 for each in weights) if _any_has(filaments, "weight") else None,
        "filament_cost_total": sum(each or 0.0 for each in costs) if _any_has(filaments, "cost") else None,
    }


def _any_has(filaments: Sequence[Mapping[str, Any]], name: str) -> bool:
    return any(each[name] is not None for each in filaments)


def _joined(texts: Iterable[str | None]) -> str | None:
    return ";".join(text or "" for text in texts).rstrip(";") or None


def _thumbnails(sizes: Sequence[Mapping[str, int]], path: str) -> list[dict[str, Any]]:
    """Return the thumbnails of a file, the largest first; `relative_path` is relative to the server's root."""
    return [
        {**each, "relative_path": f"{thumbnail_path(path)}?size={each['width']}x{each['height']}"} for each in sizes
    ]


def filament(findings: Summary) -> dict[str, dict[str, Any]]:
    """Return the filament of each tool: mm, cm³, and the file's metadata: type, name, colour, weight in g, cost."""
    filaments = findings.summary.get("about", {}).get("filaments", ())
    tools: dict[str, dict[str, Any]] = {}
    for use in findings.summary.get("tools", ()):
        about = filaments[use["tool"]] if use["tool"] < len(filaments) else {}
        metadata = {name: value for name, value in about.items() if value is not None}
        if "colour" in metadata:
            metadata["color"] = metadata.pop("colour")
        tools[f"tool{use['tool']}"] = {"length": use["length_mm"], "volume": use["volume_mm3"] / 1000, **metadata}
    return tools


def estimate(findings: Findings | None, learnt: LearntPace) -> dict[str, Any]:
    """Return the estimated duration of a print on this printer, in s, and how it was computed."""
    if findings is None or findings.duration is None:
        return {"estimatedPrintTime": None}
    start_s = findings.summary.get("before_first_layer_s", 0.0)
    seconds = start_s + (findings.duration - start_s) * learnt.factor
    return {
        "estimatedPrintTime": seconds,
        "estimate": {"planned": findings.duration, "factor": learnt.factor, "learntFrom": learnt.prints},
    }


def of_outlook(outlook: Outlook) -> dict[str, Any]:
    """Return the fields of a running print that OctoPrint does not have."""
    m73 = {"completion": outlook.m73_percent, "printTimeLeft": outlook.m73_time_left}
    return {
        "timeCompletion": 100.0 * outlook.time_share,
        "layer": outlook.layer,
        "layers": outlook.layers,
        "m73": m73 if any(value is not None for value in m73.values()) else None,
    }


def _area(box: dict[str, Any] | None) -> dict[str, float] | None:
    if box is None:
        return None
    lows = {f"min{axis}": low for axis, low in zip("XYZ", box["min"], strict=True)}
    return lows | {f"max{axis}": high for axis, high in zip("XYZ", box["max"], strict=True)}


def _dimensions(box: dict[str, Any] | None) -> dict[str, float] | None:
    return None if box is None else {name: box["max"][axis] - box["min"][axis] for name, axis in _EDGES}
