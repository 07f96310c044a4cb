"""`nozzled notify`: notifications about prints."""

import argparse
import os
import time  # noqa: TID251 - as in `serve`: the wall clock is injected from here
from datetime import datetime
from pathlib import Path
from typing import Any

from daemon.cli.companion import add_companion, not_running
from daemon.cli.remote import Action, printable, run
from daemon.client import OctoPrintClient
from daemon.companions.companion import Companion

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "nozzled notify test"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add_companion(
        parser, _ACTIONS, "Send notifications until SIGTERM or Ctrl-C, and report used filament to Spoolman.", _serve
    )


def _serve(args: argparse.Namespace) -> int:
    from daemon.cli.companion_process import serve  # noqa: PLC0415 - for the process alone

    def make(client: OctoPrintClient, folder: Path, config: Path | None) -> Companion:
        from daemon.client.exchange import TornadoExchange  # noqa: PLC0415 - as above
        from daemon.companions.notify.companion import Notify  # noqa: PLC0415 - as above
        from daemon.companions.notify.config import read  # noqa: PLC0415 - as above

        notify, spoolman = read(config, os.environ)
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


def _format(companion: dict[str, Any]) -> str:
    state = companion["state"] or {}
    rows = [not_running("notify")] if companion["away"] else []
    rows += [state["problem"]] if state.get("problem") else []
    rows += [f"{each['name']:<12}  {each['kind']}" for each in state.get("targets", ())]
    for title, wanted in (("sent", True), ("muted", False)):
        names = [name for name, on in state.get("classes", {}).items() if on is wanted]
        rows += [f"{title}: {', '.join(names)}"] if names else []
    rows += [_result(each) for each in state.get("results", ())]
    return "\n".join(printable(row) for row in rows)


def _result(result: dict[str, Any]) -> str:
    date = datetime.fromtimestamp(result["date"]).strftime("%Y-%m-%d %H:%M")  # noqa: DTZ006 - the clock here
    return f"{date}  {result['target']:<12}  {result['what']:<11}  {result['text']}"


async def _test(client: OctoPrintClient, args: argparse.Namespace) -> Any:
    return await client.companions.ask("notify", "test", {"target": args.target} if args.target else {})


def _format_test(test: dict[str, Any]) -> str:
    rows = [f"{each['target']}: {each['text']}" for each in test["results"]]
    rows += [f"{each}: no answer yet; nozzled notify status will show the result" for each in test["waiting"]]
    return "\n".join(printable(row) for row in rows)


def _declare_test(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", nargs="?", metavar="TARGET", help="name of the target (default: all)")


def _declare_classes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "classes", nargs="+", metavar="CLASS", help="like done, paused; nozzled notify status lists them"
    )


def _switch(on: bool) -> Any:
    async def switch(client: OctoPrintClient, args: argparse.Namespace) -> Any:
        await client.companions.ask("notify", "choose", {"classes": dict.fromkeys(args.classes, on)})
        return {"classes": args.classes, "on": on}

    return switch


def _format_choice(choice: dict[str, Any]) -> str:
    verb = "is" if len(choice["classes"]) == 1 else "are"
    return f"{' and '.join(choice['classes'])} {verb} {'sent' if choice['on'] else 'muted'}"


_ACTIONS = {
    "test": Action("Send a test message and show the result.", _test, _format_test, _declare_test),
    "status": Action("Show the targets, the classes, and the results of the last messages.", _status, _format),
    "tell": Action("Send messages of these classes from now on.", _switch(on=True), _format_choice, _declare_classes),
    "mute": Action("Send no messages of these classes.", _switch(on=False), _format_choice, _declare_classes),
}
