"""`nozzled notify`: messages to people about their prints."""

import argparse
import os
import time  # noqa: TID251 - as in `serve`: the wall clock is injected from here
from datetime import datetime
from pathlib import Path
from typing import Any

from daemon.cli.remote import Action, add_server, add_to, printable
from daemon.cli.remote import run as run_remote
from daemon.client import OctoPrintClient
from daemon.companions.companion import Companion

EXAMPLE = "nozzled notify test"
_SERVE = "Send them, until SIGTERM or Ctrl-C; also tells Spoolman what prints use."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    add_to(actions, _ACTIONS)
    serving = actions.add_parser("serve", help=_SERVE, description=_SERVE)
    add_server(serving)
    serving.set_defaults(action=None, parser=serving)


def run(args: argparse.Namespace) -> int:
    """Do what was asked."""
    return run_remote(args) if args.action is not None else _serve(args)


def _serve(args: argparse.Namespace) -> int:
    from daemon.companions.serving import serve  # noqa: PLC0415 - for the process alone

    def make(client: OctoPrintClient, folder: Path) -> Companion:
        from daemon.client.exchange import TornadoExchange  # noqa: PLC0415 - as above
        from daemon.companions.notify.companion import Notify  # noqa: PLC0415 - as above
        from daemon.companions.notify.config import read  # noqa: PLC0415 - as above

        notify, spoolman = read(args.config, os.environ)
        return Notify(
            client,
            folder,
            notify=notify,
            spoolman=spoolman,
            environ=os.environ,
            wall=time.time,
            outside=TornadoExchange(),
        )

    return serve("notify", make, args)


async def _status(client: OctoPrintClient, _: argparse.Namespace) -> dict[str, Any]:
    return await client.companions.get("notify")


def _format(told: dict[str, Any]) -> str:
    state = told["state"] or {}
    rows = ["nozzled-notify does not run: sudo systemctl enable --now nozzled-notify"] if told["away"] else []
    rows += [state["problem"]] if state.get("problem") else []
    rows += [f"{each['name']:<12}  {each['kind']}" for each in state.get("targets", ())]
    muted = [name for name, on in state.get("classes", {}).items() if not on]
    rows += [f"not told: {', '.join(muted)}"] if muted else []
    rows += [_result(each) for each in state.get("results", ())]
    return "\n".join(printable(row) for row in rows)


def _result(result: dict[str, Any]) -> str:
    date = datetime.fromtimestamp(result["date"]).strftime("%Y-%m-%d %H:%M")  # noqa: DTZ006 - the clock here
    return f"{date}  {result['target']:<12}  {result['what']:<11}  {result['text']}"


async def _test(client: OctoPrintClient, args: argparse.Namespace) -> Any:
    return await client.companions.ask("notify", "test", {"target": args.target} if args.target else {})


def _tested(told: dict[str, Any]) -> str:
    rows = [f"{each['target']}: {each['text']}" for each in told["results"]]
    rows += [f"{each}: no answer yet; nozzled notify status shows what becomes of it" for each in told["waiting"]]
    return "\n".join(printable(row) for row in rows)


def _for_test(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", nargs="?", metavar="TARGET", help="where to (default: everywhere)")


def _for_classes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "classes", nargs="+", metavar="CLASS", help="like done, paused; nozzled notify status lists them"
    )


def _switch(on: bool) -> Any:
    async def switch(client: OctoPrintClient, args: argparse.Namespace) -> Any:
        await client.companions.ask("notify", "choose", {"classes": dict.fromkeys(args.classes, on)})
        return {"classes": args.classes, "on": on}

    return switch


def _chosen(chosen: dict[str, Any]) -> str:
    names, verb = " and ".join(chosen["classes"]), "is" if len(chosen["classes"]) == 1 else "are"
    return f"{names} {verb} told" if chosen["on"] else f"{names} {verb} not told any more"


_ACTIONS = {
    "test": Action("Send a message now, and show what has come of it.", _test, _tested, _for_test),
    "status": Action("Show where messages go, and what has become of the last ones.", _status, _format),
    "tell": Action("Tell of these classes again.", _switch(on=True), _chosen, _for_classes),
    "mute": Action("Tell of these classes no more.", _switch(on=False), _chosen, _for_classes),
}
