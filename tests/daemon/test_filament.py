"""The filament used at each place of a file, against E added up by hand."""

import json

import pytest

from daemon.front.analysis.findings import from_analysis
from support.analysed import analyse, sliced


def extruded(lines) -> float:
    """Add up E by hand, as the firmware reads it: the most that was out."""
    relative, at, out, most = False, 0.0, 0.0, 0.0
    for line in lines:
        words = line.split(b";")[0].split()
        value = next((float(word[1:]) for word in words[1:] if word[:1] == b"E"), None)
        if words and words[0] in (b"M82", b"M83"):
            relative = words[0] == b"M83"
        elif words and words[0] == b"G92" and value is not None:
            at = value
        elif words and words[0] in (b"G0", b"G1") and value is not None:
            out += value if relative else value - at
            at = value
            most = max(most, out)
    return most


@pytest.mark.parametrize("name", ["cube20", "knob"])
def test_filament_is_known_at_every_place(name):
    data = sliced(name)
    findings = from_analysis(json.loads(json.dumps(analyse(data).as_json())))
    plan, [tool] = findings.plan(), findings.summary["tools"]
    lines = data.splitlines(keepends=True)
    for count in range(0, len(lines), len(lines) // 20):
        place = sum(map(len, lines[:count]))
        assert plan.filament_at(place, 0) == pytest.approx(extruded(lines[:count]), abs=tool["length_mm"] / 256), count
    assert plan.filament_at(len(data), 0) == pytest.approx(tool["length_mm"])


def test_filament_of_each_tool_is_its_own():
    lines = [b"M83\n", *(b"T%d\nG1 X%d E2 F600\n" % (n // 50 % 2, n % 100) for n in range(400))]
    plan = from_analysis(json.loads(json.dumps(analyse(b"".join(lines)).as_json()))).plan()
    half = sum(map(len, lines[:176]))
    assert [plan.filament_at(half, tool) for tool in (0, 1, 2)] == pytest.approx([200.0, 150.0, 0.0], abs=4.0)
