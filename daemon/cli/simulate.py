"""`nozzled simulate`: a whole print in seconds, on a simulated printer with a virtual clock."""

import argparse
import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn, TypeVar

import structlog
from tqdm import tqdm

from daemon.cli.options import add_config, add_preset, configured
from daemon.config import FIRMWARES as PROFILES
from daemon.packing.as_text import open_unpacked
from daemon.simulation.machine import add_size, configure_printer, find_firmware
from daemon.simulation.outcome import Outcome
from daemon.simulation.run import Simulation, SimulationError, SimulationPlan, SimulationProgress
from daemon.simulation.summary import format_duration, summarise
from hal.errors import AddressError
from hal.registry import Address, natural_int, positive_float, positive_int
from hal.simulated import clock
from hal.simulated.backend import config_of

EXAMPLE = "nozzled simulate part.gcode --link 115200 --report part.html"
EXIT_FAILURE = 1

N = TypeVar("N")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add = parser.add_argument
    add("file", type=Path, metavar="FILE", help="the G-code: plain text, .bgcode, .gcode.gz or .gcode.3mf")
    add("--plate", type=int, metavar="N", default=None, help="which plate of a .gcode.3mf")
    add("--scenario", type=Path, metavar="F", help="faults to simulate: a TOML file (docs/simulator.md)")
    add("--firmware", metavar="NAME", help="the printer's firmware (default: the profile's, else marlin)")
    add_config(parser)
    add_preset(parser)
    add("--link", type=_baudrate, metavar="BAUD", help="bits per second on the wire (default: bytes take no time)")
    add("--speed", type=_speed, default=None, metavar="X", help="times faster than real time, or max (default: max)")
    add("--seed", type=_seed, default=0, metavar="N", help="seed of the random numbers (default: 0)")
    add("--json", action="store_true", help="print one object of JSON instead of text")
    add("--report", type=Path, metavar="F", help="write an HTML page with plots; needs nozzled[report]")
    add("--record", type=Path, metavar="F", help="record the session with the printer, for `nozzled replay`")


def _baudrate(text: str) -> int:
    return _number(positive_int, text, "a whole number like 115200 or 250000")


def _seed(text: str) -> int:
    return _number(natural_int, text, "a whole number, 0 or more")


def _speed(text: str) -> float | None:
    return None if text == "max" else _number(positive_float, text, "max, or a number above 0 like 20 or 0.5")


def _number(kind: Callable[[str], N], text: str, allowed: str) -> N:
    try:
        return kind(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be {allowed}, not {text}") from None


def run(args: argparse.Namespace) -> int:
    """Simulate; return 0 if every line of the file arrived exactly once and the part is right."""
    plan = _plan(args)
    write_report = _reporter() if args.report is not None else None
    with open_unpacked(plan.file, args.plate) as file:
        plan = replace(plan, file=file)
        with _silent(), _bar(plan.file) as on_progress:
            simulation, outcome = clock.run(_simulate(plan, on_progress), pace=args.speed)
        outcome = _with_analysis(outcome, plan)
        if write_report is not None:
            try:
                write_report(args.report, plan, simulation, outcome)
            except OSError as error:
                raise SimulationError(f"{args.report} cannot be written: {error.strerror}") from error
    _print(outcome, plan, as_json=args.json)
    return 0 if outcome.good else EXIT_FAILURE


def _with_analysis(outcome: Outcome, plan: SimulationPlan) -> Outcome:
    """Return the outcome with the errors and warnings of the analysis for this printer."""
    from daemon.front.analysis.file_analysis import analyse, machine  # noqa: PLC0415 - NumPy

    analysis = analyse(plan.file, machine(add_size(plan.config.profile, plan.firmware)))
    return replace(outcome, errors=list(analysis.errors), warnings=list(analysis.warnings))


async def _simulate(
    plan: SimulationPlan, on_progress: Callable[[SimulationProgress], None]
) -> tuple[Simulation, Outcome]:
    simulation = Simulation(plan, on_progress)
    return simulation, await simulation.run()


def _plan(args: argparse.Namespace) -> SimulationPlan:
    """Return the plan that the command line describes.

    Raises:
        SimulationError: there is no such file or firmware, the scenario makes no sense, or an output file cannot be
            written.
    """
    if not args.file.is_file():
        raise SimulationError(f"{args.file} is a folder" if args.file.is_dir() else f"there is no file {args.file}")
    for path in (args.report, args.record):
        if path is not None and path.is_dir():
            raise SimulationError(f"cannot write {path}: it is a folder")
        if path is not None and path.exists() and path.samefile(args.file):
            raise SimulationError(f"cannot write {path}: it is the file to simulate; choose another name")
        if path is not None and not path.absolute().parent.is_dir():
            raise SimulationError(f"cannot write {path}: there is no folder {path.absolute().parent}")
    config = configured(args)
    name = args.firmware or find_firmware(config.profile)
    if name in PROFILES and name != config.profile.firmware:
        config = replace(config, profile=replace(config.profile, firmware=name))
    options = {"firmware": name, "seed": str(args.seed)}
    if args.link is not None:
        options["baudrate"] = str(args.link)
    if args.scenario is not None:
        options["scenario"] = str(args.scenario)
    address = Address("sim", "", options)
    try:
        firmware = configure_printer(config.profile, config_of(address))
    except AddressError as error:  # the user has named no address
        raise SimulationError(str(error).removeprefix(f"{address}: ")) from error
    return SimulationPlan(
        args.file, firmware, str(address), args.record, keep_path=args.report is not None, config=config
    )


def _reporter() -> Callable[[Path, SimulationPlan, Simulation, Outcome], None]:
    """Return the function that writes the report. Called before the print: a missing library is reported first.

    Raises:
        SimulationError: the library for plots is missing.
    """
    try:
        from daemon.report import write  # noqa: PLC0415 - an extra, whose import takes a second
    except ModuleNotFoundError as error:
        raise SimulationError(
            f"a report needs {error.name}, which is not installed: pip install 'nozzled[report]'"
        ) from None
    return write


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Drop the log: the outcome has all that the host says about the print."""
    before = structlog.get_config()
    structlog.configure(processors=[_drop])
    try:
        yield
    finally:
        structlog.configure(**before)


def _drop(*_: object) -> NoReturn:
    raise structlog.DropEvent


@contextlib.contextmanager
def _bar(path: Path) -> Iterator[Callable[[SimulationProgress], None]]:
    """Show a progress bar on a terminal."""
    tqdm.monitor_interval = 0  # it would be a thread
    form = "{percentage:3.0f}% |{bar}| {unit}"  # tqdm puts a comma before a {postfix}
    with tqdm(total=path.stat().st_size, bar_format=form, disable=None, leave=False) as bar:

        def on_progress(progress: SimulationProgress) -> None:
            bar.unit = f"{format_duration(progress.time)}  layer {progress.layers}"
            bar.update(progress.offset - bar.n)

        yield on_progress


def _print(outcome: Outcome, plan: SimulationPlan, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(outcome.as_json()))
        return
    for line in summarise(outcome, plan.file.name):
        print(line)
