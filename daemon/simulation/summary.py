"""The outcome of a simulated print, as text."""

import re
from collections import Counter
from collections.abc import Iterator

from daemon.simulation.incidents import Incident
from daemon.simulation.outcome import Bottleneck, Outcome, UnderrunPlace, describe_moves

_NUMBER = re.compile(r"\d+")

MAX_SHOWN = 10  # lines of each kind; the JSON has more


def summarise(outcome: Outcome, name: str) -> Iterator[str]:
    """Yield the lines of a summary."""
    yield f"{name}: {_verdict(outcome)}"
    yield f"  part       {_part(outcome)}"
    yield from _first_lines([f"{level}: {text}" for level, text in _analysis(outcome)])
    moving = f"{format_duration(outcome.moving_s)} of it moving"
    yield f"  time       {format_duration(outcome.duration_s)}, {moving}{_pause_time(outcome)}"
    yield f"  lines      {outcome.lines} of {outcome.file_lines}, {_resends(outcome.resends)}"
    yield f"  material   {outcome.filament_mm / 1000:.3f} m of filament" + _by_tool(outcome)
    yield f"  layers     {outcome.layers}{_longest_layers(outcome)}"
    yield f"  peak       {outcome.peak_lines_per_s} lines/s, {outcome.peak_bytes_per_s:.0f} bytes/s{_wire(outcome)}"
    yield from _heat(outcome)
    yield f"  underruns  {outcome.underruns}, {outcome.underruns_s:.2f} s in all"
    yield from _first_lines([_underrun(each) for each in outcome.underrun_places])
    yield from _bottlenecks(outcome)
    yield from _events(outcome)


def format_duration(seconds: float) -> str:
    """Return a duration as h:mm:ss."""
    minutes, remainder = divmod(max(0, round(seconds)), 60)  # a fault may come before the print begins
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{remainder:02}"


def _verdict(outcome: Outcome) -> str:
    if outcome.good:
        return "printed, every line exactly once"
    if outcome.exact:
        return "every line arrived exactly once, but the part did NOT come out"
    because = [outcome.state.lower(), outcome.reason or "", outcome.difference]
    return "NOT printed exactly: " + "; ".join(each for each in because if each)


def _part(outcome: Outcome) -> str:
    if not outcome.flaws:
        return "came out"
    return "did NOT come out: " + "; ".join(outcome.flaws)


def _analysis(outcome: Outcome) -> Iterator[tuple[str, str]]:
    """Yield the findings of the analysis, and what the firmware did about them."""
    yield from (("warning", text) for text in outcome.warnings)
    yield from (("error", text) for text in outcome.errors if text not in outcome.flaws)
    if outcome.clipped:
        yield (
            "clipped",
            f"{describe_moves(outcome.clipped)} at the end of an axis, {outcome.clipped_laying} with material",
        )


def _resends(count: int) -> str:
    return "1 resend request" if count == 1 else f"{count} resend requests"


def _pause_time(outcome: Outcome) -> str:
    return f", {format_duration(outcome.paused_s)} paused" if outcome.paused_s else ""


def _by_tool(outcome: Outcome) -> str:
    if len(outcome.filament_by_tool) < 2:  # noqa: PLR2004 - with one tool there is nothing to tell apart
        return ""
    each = (f"T{tool} {length / 1000:.3f} m" for tool, length in sorted(outcome.filament_by_tool.items()))
    return f" ({', '.join(each)})"


def _longest_layers(outcome: Outcome) -> str:
    if not outcome.layer_times:
        return ""
    times = sorted(each.duration_s for each in outcome.layer_times)
    return f", {times[0]:.1f} to {times[-1]:.1f} s each, median {times[len(times) // 2]:.1f} s"


def _wire(outcome: Outcome) -> str:
    return "" if outcome.peak_wire_share is None else f", {100 * outcome.peak_wire_share:.0f} % of the wire"


def _heat(outcome: Outcome) -> Iterator[str]:
    for name, span in outcome.temperatures.items():
        reached = f", reached after {format_duration(span.reached_s)}" if span.reached_s is not None else ""
        target = f", target {span.target:.0f} °C{reached}" if span.target else ""
        yield f"  {name:9}  up to {span.highest:.1f} °C{target}"


def _underrun(place: UnderrunPlace) -> str:
    line = "" if place.line is None else f" line {place.line},"  # a firmware may not number its lines
    return f"{format_duration(place.time_s)}{line} {place.duration_s:.3f} s"


def _bottlenecks(outcome: Outcome) -> Iterator[str]:
    if not outcome.bottlenecks:
        yield "  limit      the machine: the planner was never nearly empty for long"
        return
    seconds = sum(each.to_s - each.from_s for each in outcome.bottlenecks)
    wire = sum(each.to_s - each.from_s for each in outcome.bottlenecks if each.cause == "wire")
    yield f"  limit      for {seconds:.0f} s the planner was nearly empty; for {wire:.0f} s of them the wire was full"
    yield from _first_lines([_stretch(each) for each in outcome.bottlenecks])


def _stretch(bottleneck: Bottleneck) -> str:
    span = f"{format_duration(bottleneck.from_s)} to {format_duration(bottleneck.to_s)}"
    return f"{span}, {bottleneck.lines_per_s:g} lines/s, limited by {_cause(bottleneck.cause)}"


def _cause(cause: str) -> str:
    return "the wire" if cause == "wire" else "the wait for answers"


def _events(outcome: Outcome) -> Iterator[str]:
    if outcome.faults:
        yield f"  faults     {len(outcome.faults)}"
        kinds = Counter(each.what for each in outcome.faults)
        first = {each.what: each for each in reversed(outcome.faults)}
        yield from _first_lines(
            [
                f"{what} {'once,' if count == 1 else f'{count} times, first'} at {format_duration(first[what].time_s)}"
                for what, count in kinds.most_common()
            ]
        )
    if outcome.events:
        yield "  events"
        alike: dict[tuple[str, str], list[Incident]] = {}
        for number, each in enumerate(outcome.events):  # messages of the printer may differ in numbers
            kind = _NUMBER.sub("#", each.what) if each.who == "printer" else str(number)
            alike.setdefault((each.who, kind), []).append(each)
        lines = [
            f"{format_duration(first.time)} {first.who} {first.what}" + _more(others)
            for first, *others in alike.values()
        ]
        yield from _first_lines(lines, outcome.more_events)


def _more(others: list[Incident]) -> str:
    return f", and {len(others)} more like it" if others else ""


def _first_lines(lines: list[str], more: int = 0) -> Iterator[str]:
    for line in lines[:MAX_SHOWN]:
        yield f"             {line}"
    if hidden := max(0, len(lines) - MAX_SHOWN) + more:
        yield f"             … and {hidden} more"
