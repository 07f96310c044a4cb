"""/api/system/commands: the programs that the configuration offers. Arguments as they stand there, never a shell."""

import asyncio
from typing import Any

import structlog

from daemon.errors import JobConflict
from daemon.front.access.keys import environment_of_children
from daemon.front.access.scopes import Scope
from daemon.front.http.base import ApiHandler
from daemon.http.errors import Refused

NAMES = {"shutdown": "Shut down system", "reboot": "Reboot system", "restart": "Restart nozzled"}
AT_ONCE = 1.0  # s; what fails so early is told to the client, what takes longer is on its way

_running: set[asyncio.Task[None]] = set()  # the loop alone does not keep them

log = structlog.get_logger()


class CommandsHandler(ApiHandler):
    """Base of what knows the commands."""

    writes = Scope.ADMIN

    def offered(self) -> dict[str, tuple[str, ...]]:
        """Return what is configured, by OctoPrint's names."""
        system = self.service.config.system
        found = {"shutdown": system.shutdown, "reboot": system.reboot, "restart": system.restart}
        return {name: command for name, command in found.items() if command}

    def as_json(self) -> list[dict[str, Any]]:
        """Describe what is offered."""
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
            for action in self.offered()
        ]


class AllSystemCommandsHandler(CommandsHandler):
    """/api/system/commands."""

    def get(self) -> None:
        """List what is offered; there are none of plug-ins."""
        self.write({"core": self.as_json(), "plugin": [], "custom": []})


class SourceHandler(CommandsHandler):
    """/api/system/commands/<source>."""

    def get(self, source: str) -> None:
        """List what this source offers."""
        if source not in ("core", "plugin", "custom"):
            raise Refused(404, f"there is no source {source[:20]}")
        self.write_json(self.as_json() if source == "core" else [])


class SystemCommandHandler(CommandsHandler):
    """/api/system/commands/core/<action>."""

    async def post(self, action: str) -> None:
        """Run it; not in the middle of a print, which it would end."""
        command = self.offered().get(action)
        if command is None:
            raise Refused(404, f"{action} is not among the commands of the configuration, section system")
        if self.service.jobs.active:
            raise JobConflict("a print is in progress; cancel it first")
        await run(command)
        self.no_content()


async def run(command: tuple[str, ...]) -> None:
    """Run a program; what it does after its first second is only logged.

    Raises:
        Refused: it cannot be run, or has failed already.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, env=environment_of_children()
        )
    except OSError as error:
        raise Refused(500, f"{command[0]} cannot be run: {error.strerror}") from error
    ending = asyncio.create_task(_watch(process, command))
    _running.add(ending)
    ending.add_done_callback(_running.discard)
    await asyncio.wait([ending], timeout=AT_ONCE)
    if process.returncode:
        raise Refused(500, f"{command[0]} failed with exit status {process.returncode}")


async def _watch(process: asyncio.subprocess.Process, command: tuple[str, ...]) -> None:
    if status := await process.wait():
        log.error("system.command_failed", command=command, status=status)
