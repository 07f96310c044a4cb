"""A print on each simulated firmware, near and far, over a good connection and a poor one: every line arrives once."""

from dataclasses import replace

import pytest

from daemon.simulation.run import Simulation, SimulationPlan
from hal.simulated import clock
from hal.simulated.personalities import FIRMWARES
from hal.simulated.scenario import Fault, Scenario

NEAR, FAR = 0.0, 0.02  # s there and back
CLEAN = ()
DAMAGED = (Fault("flip", probability=0.001), Fault("lose_ok", line=30))
SEEN = (Fault("resend", probability=0.02), Fault("lose_ok", line=30))

# Firmwares that get lines without checksums: damage on the way to them is not detected.
BLIND = ("klipper", "teacup")

# Repetier accepts a line whose damage hides its checksum (docs/link.md): its lines are asked for again, undamaged.
HALF_BLIND = ("repetier",)

# RepRapFirmware drops a damaged line without a word. A print there ends, with this reason, where the host cannot know.
SILENT = ("reprapfirmware",)


def square(z, e):
    corners = [(70, 50), (70, 70), (50, 70), (50, 50)] * 4
    return [f"G1 Z{z:.2f} F600", "G1 X50 Y50 F6000"] + [
        f"G1 X{x} Y{y} E{e + (index + 1) / 10:.5f} F6000" for index, (x, y) in enumerate(corners)
    ]


PRINT = [
    "G21", "G90", "M82", "M104 S200", "M140 S40", "G28", "M109 S200", "M190 S40", "G92 E0", "T0", "M107",
    *square(0.2, 0.0), "M105", "M106 S128", "M73 P30 R1", "M117 Layer 2", "M900 K0.05",
    *square(0.4, 1.6), "M105", "G4 P50", "M486 S0", "M117 Layer 3", *square(0.6, 3.2), "M400",
    "M107", "M104 S0", "M140 S0", "M84",
]  # fmt: skip


def lines_of(name):
    """Return the file as one is made for this firmware: Teacup and Klipper have no T0, for example."""
    return [line for line in PRINT if line.partition(" ")[0] not in FIRMWARES[name].speech.lacks]


def cases():
    for name in FIRMWARES:
        for latency in (NEAR, FAR):
            for damage in ("clean", "damaged"):
                if damage == "damaged" and name in BLIND:
                    continue
                case = f"{name}-{'far' if latency else 'near'}-{damage}"
                faults = CLEAN if damage == "clean" else SEEN if name in HALF_BLIND else DAMAGED
                yield pytest.param(name, latency, faults, id=case)


@pytest.mark.parametrize(("name", "latency", "faults"), list(cases()))
def test_a_print_arrives_exactly_once(tmp_path, name, latency, faults):
    path = tmp_path / "part.gcode"
    path.write_text("".join(f"{line}\n" for line in lines_of(name)))
    config = replace(FIRMWARES[name], latency=latency / 2, baudrate=115200, seed=3, scenario=Scenario(faults))

    async def run():
        return await Simulation(SimulationPlan(path, config), lambda _: None).run()

    outcome = clock.run(run())
    events = [f"{each.time:.2f} {each.who} {each.what}" for each in outcome.events]
    if name in SILENT and faults:
        assert outcome.state in ("FAILED", "INTERRUPTED"), events
        assert "this firmware cannot say whether it has read that command" in outcome.reason
        return
    assert (outcome.state, outcome.reason) == ("COMPLETED", None), events
    assert outcome.exact, (outcome.difference, events)
    assert outcome.duration_s < 200, events
