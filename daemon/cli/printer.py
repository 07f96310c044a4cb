"""`nozzled printer`: its connection, heaters, axes, and G-code."""

import argparse
import re
from typing import Any

from daemon.cli.progress import state_text
from daemon.cli.remote import Action, add_actions, printable, run, table
from daemon.client import Conflict, OctoPrintClient

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "nozzled printer temp nozzle=210 bed=60"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add_actions(parser, _ACTIONS)


async def _status(client: OctoPrintClient, _: argparse.Namespace) -> dict[str, Any]:
    """Return connection and printer; without a connection `printer` is None, and `error` says why if it is known.

    `print` is that of the job's answer, if OctoPrint's state does not tell whether there is a printer.
    """
    current = (await client.connection.get())["current"]
    status: dict[str, Any] = {"connection": current}
    if current["state"] == "Resuming":
        job: Any = await client.job.get()
        status["print"] = job.get("print")
    try:
        return {**status, "printer": await client.printer.get()}
    except Conflict:
        error = (await client.job.get()).get("error")
        return {**status, "printer": None, **({"error": error} if error else {})}


_CONNECT = "`nozzled printer connect` connects the printer"
_RECONNECT = "`nozzled printer connect` connects it again, once the cause is gone"


def _format(status: dict[str, Any]) -> str:
    connection, printer = status["connection"], status["printer"] or {}
    port = connection["port"] and f"{connection['port']} at {connection['baudrate']} baud"
    state = printer.get("state", {})
    ready = state.get("flags", {}).get("ready", False)  # then the error is that of the last print: see `job status`
    error = (not ready and state.get("error")) or status.get("error") or ""
    fixes = {"Offline after error": _RECONNECT, "Closed": "" if error else _CONNECT}
    return table(
        {
            "state": state_text({"state": connection["state"], "print": status.get("print")}),
            "error": error,
            "fix": fixes.get(connection["state"], ""),
            "port": port or "",
            **_heaters(printer.get("temperature", {})),
        }
    )


def _heaters(temperatures: dict[str, Any]) -> dict[str, str]:
    return {
        name: f"{reading['actual'] or 0:.1f} °C" + (f", target {reading['target']:.0f} °C" if reading["target"] else "")
        for name, reading in temperatures.items()
    }


def _declare_connect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", metavar="P", help="like /dev/ttyACM0 or VIRTUAL (default: the preferred printer)")
    parser.add_argument("--baudrate", type=int, metavar="B", help="bits per second (default: the preferred one)")


async def _connect(client: OctoPrintClient, args: argparse.Namespace) -> None:
    await client.connection.connect(args.port, args.baudrate)


def _connecting_text(_: None) -> str:
    """Return the text for an attempt to connect, which may still fail."""
    return "connecting; `nozzled printer status` shows the outcome"


def _declare_temperature(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "targets",
        nargs="*",
        type=_target,
        metavar="HEATER=C",
        help="like nozzle=210, bed=60 or bed=off; a second hotend is nozzle1; without any, show the temperatures "
        "(nozzle is shown as tool0, nozzle1 as tool1)",
    )


_HEATERS = {"bed": "bed", "heatbed": "bed", "chamber": "chamber", "enclosure": "chamber"}
_TOOL = re.compile(r"(?:tool|t|nozzle|hotend|extruder|e)([0-9]{0,2})")


def heater(name: str) -> str | None:
    """Return the API's name of a heater that users call nozzle, hotend, T1, bed or the like; None: unknown."""
    plain = name.strip().lower().replace("_", "").replace("-", "").replace(" ", "")
    if api_name := _HEATERS.get(plain):
        return api_name
    tool = _TOOL.fullmatch(plain)
    return f"tool{int(tool[1] or 0)}" if tool else None


def _target(text: str) -> tuple[str, float]:
    name, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"must be HEATER=TEMPERATURE like nozzle=210, not {text}")
    if (heater_name := heater(name)) is None:
        raise argparse.ArgumentTypeError(f"unknown heater {name}; use nozzle (nozzle1, …), bed or chamber")
    return heater_name, 0.0 if value.lower() == "off" else _number(value.removesuffix("C").removesuffix("°"))


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not abs(number) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return number


async def _temperature(client: OctoPrintClient, args: argparse.Namespace) -> Any:
    if args.targets:
        return await client.printer.heat(dict(args.targets))
    return (await client.printer.get(exclude=["state", "sd"])).get("temperature", {})


def _declare_preheat(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("preset", metavar="NAME", help="as `presets` lists them, like PLA")
    parser.add_argument("--tool", type=_tool, metavar="T", help="like nozzle1 (default: the active one)")


def _tool(text: str) -> str:
    name = heater(text)
    if name is None or not name.startswith("tool"):
        raise argparse.ArgumentTypeError(f"unknown hotend {text}; use nozzle, nozzle1, …")
    return name


async def _preheat(client: OctoPrintClient, args: argparse.Namespace) -> None:
    which = {} if args.tool is None else {"tool": args.tool}
    await client.post("/api/printer/preheat", {"command": "preheat", "preset": args.preset, **which})


async def _cooldown(client: OctoPrintClient, _: argparse.Namespace) -> None:
    await client.post("/api/printer/preheat", {"command": "cooldown"})


async def _presets(client: OctoPrintClient, _: argparse.Namespace) -> list[dict[str, Any]]:
    profiles: list[dict[str, Any]] = (await client.settings())["temperature"]["profiles"]
    return profiles


def _preset_rows(presets: list[dict[str, Any]]) -> str:
    """Return a row for each preset, with the heaters that it sets."""
    names = {"extruder": "nozzle", "bed": "bed", "chamber": "chamber"}
    width = max((len(printable(each["name"])) for each in presets), default=0)
    rows = []
    for each in presets:
        targets = {name: each.get(key) for key, name in names.items()}
        heat = ", ".join(f"{name} {_degrees(value)}" for name, value in targets.items() if value is not None)
        rows.append(f"{printable(each['name']):<{width}}  {heat}".rstrip())
    return "\n".join(rows) or "there are no presets"


def _degrees(value: float) -> str:
    return f"{value:g} °C" if value else "off"


def _declare_home(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("axes", nargs="*", metavar="AXIS", help="x, y or z (default: all)")


async def _home(client: OctoPrintClient, args: argparse.Namespace) -> None:
    await client.printer.home([axis.lower() for axis in args.axes] or ["x", "y", "z"])


def _declare_jog(parser: argparse.ArgumentParser) -> None:
    for axis in "xyz":
        parser.add_argument(f"--{axis}", type=_number, metavar="MM", help="distance in mm")
    parser.add_argument(
        "--absolute", action="store_true", help="move to these coordinates instead of by these distances"
    )
    parser.add_argument("--speed", type=_number, metavar="S", help="in mm/min")


async def _jog(client: OctoPrintClient, args: argparse.Namespace) -> None:
    if args.x is None and args.y is None and args.z is None:
        args.parser.error("no axis to move: give --x, --y or --z")
    await client.printer.jog(x=args.x, y=args.y, z=args.z, absolute=args.absolute, speed=args.speed)


def _declare_send(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("commands", nargs="+", metavar="GCODE", help="one command each, in quotes: 'M117 hello'")


async def _send(client: OctoPrintClient, args: argparse.Namespace) -> None:
    await client.printer.send(*args.commands)


_ACTIONS = {
    "status": Action("Show connection, state and temperatures.", _status, _format),
    "connect": Action("Start connecting to a printer.", _connect, _connecting_text, _declare_connect),
    "disconnect": Action(
        "Disconnect from the printer; this ends a print.",
        lambda client, _: client.connection.disconnect(),
        lambda _: "disconnected",
    ),
    "temp": Action(
        "Set heater targets, or show the temperatures.",
        _temperature,
        lambda temperatures: table(_heaters(temperatures or {})),
        _declare_temperature,
    ),
    "presets": Action("List the temperature presets.", _presets, _preset_rows),
    "preheat": Action("Heat to a preset's temperatures.", _preheat, arguments=_declare_preheat),
    "cooldown": Action("Turn all heaters off.", _cooldown),
    "home": Action("Move axes to their origin.", _home, arguments=_declare_home),
    "jog": Action("Move the head.", _jog, arguments=_declare_jog),
    "send": Action("Send G-code; the console of the page shows the answers.", _send, arguments=_declare_send),
}
