"""`nozzled printer`: its connection, heaters, axes, and G-code."""

import argparse
from typing import Any

from daemon.cli.remote import Action, add_actions, run, table
from daemon.client import Conflict, OctoPrintClient

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "nozzled printer temp tool0=210 bed=60"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add_actions(parser, _ACTIONS)


async def _status(client: OctoPrintClient, _: argparse.Namespace) -> dict[str, Any]:
    """Return connection and printer; the latter is None without one."""
    connection = await client.connection.get()
    try:
        printer = await client.printer.get()
    except Conflict:
        printer = None
    return {"connection": connection["current"], "printer": printer}


def _shown(told: dict[str, Any]) -> str:
    connection, printer = told["connection"], told["printer"] or {}
    port = connection["port"] and f"{connection['port']} at {connection['baudrate']} baud"
    state = printer.get("state", {})
    return table(
        {
            "state": connection["state"],
            "error": state.get("error") or "",
            "port": port or "",
            **_heaters(printer.get("temperature", {})),
        }
    )


def _heaters(temperatures: dict[str, Any]) -> dict[str, str]:
    return {
        name: f"{reading['actual'] or 0:.1f} °C" + (f", wanted {reading['target']:.0f} °C" if reading["target"] else "")
        for name, reading in temperatures.items()
    }


def _for_connect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", metavar="P", help="like /dev/ttyACM0 or VIRTUAL (default: the preferred printer)")
    parser.add_argument("--baudrate", type=int, metavar="B")


async def _connect(client: OctoPrintClient, args: argparse.Namespace) -> None:
    await client.connection.connect(args.port, args.baudrate)


def _for_temperature(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "targets",
        nargs="*",
        type=_target,
        metavar="HEATER=C",
        help="like tool0=210, bed=60, or bed=0 for off; without any the temperatures are told",
    )


def _target(text: str) -> tuple[str, float]:
    name, separator, value = text.partition("=")
    if not separator or not name.isalnum():
        raise argparse.ArgumentTypeError(f"a target looks like tool0=210, not {text}")
    return name, _number(value)


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not abs(number) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no number")
    return number


async def _temperature(client: OctoPrintClient, args: argparse.Namespace) -> Any:
    if args.targets:
        return await client.printer.heat(dict(args.targets))
    return (await client.printer.get(exclude=["state", "sd"])).get("temperature", {})


def _for_home(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("axes", nargs="*", metavar="AXIS", help="x, y or z (default: all)")


async def _home(client: OctoPrintClient, args: argparse.Namespace) -> None:
    await client.printer.home([axis.lower() for axis in args.axes] or ["x", "y", "z"])


def _for_jog(parser: argparse.ArgumentParser) -> None:
    for axis in "xyz":
        parser.add_argument(f"--{axis}", type=_number, metavar="MM", help="by so far")
    parser.add_argument("--absolute", action="store_true", help="to there, not by so far")
    parser.add_argument("--speed", type=_number, metavar="S", help="in mm/min")


async def _jog(client: OctoPrintClient, args: argparse.Namespace) -> None:
    await client.printer.jog(x=args.x, y=args.y, z=args.z, absolute=args.absolute, speed=args.speed)


def _for_send(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("commands", nargs="+", metavar="GCODE", help="one command each, in quotes: 'M117 hello'")


async def _send(client: OctoPrintClient, args: argparse.Namespace) -> None:
    await client.printer.send(*args.commands)


_ACTIONS = {
    "status": Action("Tell connection, state and temperatures.", _status, _shown),
    "connect": Action("Begin to connect to a printer.", _connect, arguments=_for_connect),
    "disconnect": Action("Close the line; ends a print.", lambda client, _: client.connection.disconnect()),
    "temp": Action(
        "Set heaters, or tell their temperatures.",
        _temperature,
        lambda told: table(_heaters(told or {})),
        _for_temperature,
    ),
    "home": Action("Move axes to their origin.", _home, arguments=_for_home),
    "jog": Action("Move the head.", _jog, arguments=_for_jog),
    "send": Action("Send G-code.", _send, arguments=_for_send),
}
