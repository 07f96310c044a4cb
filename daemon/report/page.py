"""The page around the plots. It loads nothing from elsewhere."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template

from daemon import __version__
from daemon.simulation.outcome import Outcome
from daemon.simulation.run import SimulationPlan
from daemon.simulation.summary import format_duration, summarise

MAX_ROWS = 200
"""Rows of a table; the JSON has them all."""

_PAGE = Template(Path(__file__).with_name("page.html").read_text("utf-8"))
_SECTIONS = {
    "temperatures": "Temperatures",
    "rate": "Line rate and planner",
    "layers": "Time of each layer",
    "paths": "Path by layer",
}


def render(plan: SimulationPlan, outcome: Outcome, figures: Mapping[str, str]) -> str:
    """Return the page.

    Args:
        plan: what was simulated.
        outcome: its result.
        figures: section → SVG; "" if there is nothing to show.
    """
    head, *lines = summarise(outcome, plan.file.name)
    sections = [
        f'<section id="{name}"><h2>{title}</h2>{figures[name]}</section>'
        for name, title in _SECTIONS.items()
        if figures.get(name)
    ]
    return _PAGE.substitute(
        title=escape(plan.file.name),
        head=escape(head),
        verdict="good" if outcome.good else "bad",
        summary=escape("\n".join(line.removeprefix("  ") for line in lines)),
        sections="\n".join(sections),
        tables=_tables(outcome),
        printer=escape(plan.address),
        version=escape(__version__),
    )


def _tables(outcome: Outcome) -> str:
    events = [(format_duration(each.time), each.who, each.what) for each in outcome.events]
    faults = [(format_duration(each.time_s), each.what, each.line) for each in outcome.faults]
    kinds = Counter(each.what for each in outcome.faults).most_common()
    pauses = [(format_duration(each.from_s), format_duration(each.to_s), each.kind) for each in outcome.pauses]
    underruns = [
        (format_duration(each.time_s), each.line, f"{each.duration_s:.3f}") for each in outcome.underrun_places
    ]
    return "\n".join(
        [
            _table("Kinds of faults", ("what", "how often"), kinds),
            _table("Faults", ("time", "what", "line"), faults),
            _table("Pauses", ("from", "to", "what"), pauses),
            _table("How the host reacted", ("time", "who", "what"), events),
            _table("Underruns", ("time", "line", "seconds"), underruns),
        ]
    )


def _table(title: str, names: Iterable[str], rows: Sequence[tuple[object, ...]]) -> str:
    """Return a table; "" without rows."""
    if not rows:
        return ""
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "\n".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows[:MAX_ROWS])
    more = f"<p>… and {len(rows) - MAX_ROWS} more</p>" if len(rows) > MAX_ROWS else ""
    table = f"<table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>"
    return f"<section><h2>{escape(title)}</h2>{table}{more}</section>"


def _cell(value: object) -> str:
    return f"<td>{'' if value is None else escape(str(value))}</td>"
