"""The report of a simulated print: one HTML page with its plots inside. Needs the extra `nozzled[report]`."""

from pathlib import Path

from daemon.report import page, plots
from daemon.simulation.outcome import Outcome
from daemon.simulation.run import Simulation, SimulationPlan


def write(path: Path, plan: SimulationPlan, simulation: Simulation, outcome: Outcome) -> None:
    """Write the report of a print.

    Raises:
        OSError: the page cannot be written.
    """
    samples = simulation.series.samples
    figures = {
        "temperatures": plots.temperatures(samples),
        "rate": plots.rate_and_fill(samples, simulation.series.interval, outcome),
        "layers": plots.layer_times(outcome),
        "paths": plots.paths(simulation.witness),
    }
    path.write_text(page.render(plan, outcome, figures), encoding="utf-8")
