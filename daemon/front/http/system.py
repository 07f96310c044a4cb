"""/api/system/commands: the configured programs to shut down, reboot and restart. They are run without a shell."""

import asyncio
from typing import Any

import structlog

from daemon.errors import JobConflict
from daemon.front.access.keys import environment_of_children
from daemon.front.access.scopes import Scope
from daemon.front.http.base import ApiHandler
from daemon.http.errors import Refused

NAMES = {"shutdown": "Shut down system", "reboot": "Reboot system", "restart": "Restart nozzled"}
START_TIMEOUT = 1.0  # s; only a failure within this time is reported to the client

_running: set[asyncio.Task[None]] = set()  # references that keep the tasks from being garbage-collected

log = structlog.get_logger()


class CommandsHandler(ApiHandler):
    """Base of the handlers of system commands."""

    write_scope = Scope.ADMIN

    def configured(self) -> dict[str, tuple[str, ...]]:
        """Return the configured commands, by OctoPrint's names."""
        system = self.service.config.system
        commands = {"shutdown": system.shutdown, "reboot": system.reboot, "restart": system.restart}
        return {name: command for name, command in commands.items() if command}

    def as_json(self) -> list[dict[str, Any]]:
        """Describe the configured commands."""
        return [
            {
                "action": action,
                "name": NAMES[action],
                "confirm": f"{NAMES[action]}?",
                "async": True,
                "ignore": True,
                "source": "core",
                "resource": self.url(f"/api/system/commands/core/{action}"),
            }
            for action in self.configured()
        ]


class AllSystemCommandsHandler(CommandsHandler):
    """/api/system/commands."""

    def get(self) -> None:
        """List the commands; plug-ins have none."""
        self.write({"core": self.as_json(), "plugin": [], "custom": []})


class SourceHandler(CommandsHandler):
    """/api/system/commands/<source>."""

    def get(self, source: str) -> None:
        """List the commands of a source."""
        if source not in ("core", "plugin", "custom"):
            raise Refused(404, f"there is no source {source[:20]}")
        self.write_json(self.as_json() if source == "core" else [])


class SystemCommandHandler(CommandsHandler):
    """/api/system/commands/core/<action>."""

    async def post(self, action: str) -> None:
        """Run a command; during a print, which a shutdown or reboot would end, refuse them all."""
        command = self.configured().get(action)
        if command is None:
            raise Refused(404, f"no command {action} is configured in the section [system]")
        if self.service.jobs.active:
            raise JobConflict("a print is in progress; cancel it first")
        await run(command)
        self.no_content()


async def run(command: tuple[str, ...]) -> None:
    """Run a program; a failure after its first second is only logged.

    Raises:
        Refused: it cannot be run, or fails within the first second.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, env=environment_of_children()
        )
    except OSError as error:
        raise Refused(500, f"{command[0]} cannot be run: {error.strerror}") from error
    watching = asyncio.create_task(_watch(process, command))
    _running.add(watching)
    watching.add_done_callback(_running.discard)
    await asyncio.wait([watching], timeout=START_TIMEOUT)
    if process.returncode:
        raise Refused(500, f"{command[0]} {_describe_end(process.returncode)}")


def _describe_end(code: int) -> str:
    """Say how a program failed, by its return code: the exit status, or minus the number of a signal."""
    return f"failed with exit status {code}" if code > 0 else f"was ended by signal {-code}"


async def _watch(process: asyncio.subprocess.Process, command: tuple[str, ...]) -> None:
    if status := await process.wait():
        log.error("system.command_failed", command=command, status=status)
