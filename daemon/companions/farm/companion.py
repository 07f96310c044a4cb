"""The companion `farm`: the agent of a printer, connected by NATS."""

import fcntl
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from daemon.client import OctoPrintClient
from daemon.companions.companion import Companion
from daemon.companions.farm.agent import Agent
from daemon.companions.farm.config import FarmConfig, check, seed, tools
from daemon.companions.farm.front import FrontPrinter
from daemon.errors import ConfigError
from daemon.farm.carrier.agent_end import NatsAgentEnd
from daemon.farm.carrier.connect import NatsAddress, tls_context
from daemon.farm.carrier.ends import AgentEnd

LOCK = "agent.lock"


class FarmCompanion(Companion):
    """Prints what a farm offers."""

    name = "farm"

    def __init__(
        self,
        client: OctoPrintClient,
        folder: Path,
        *,
        config: FarmConfig,
        environ: Mapping[str, str],
        wall: Callable[[], float],
        end: AgentEnd | None = None,
    ) -> None:
        """Prepare.

        Args:
            client: the front.
            folder: its own.
            config: the farm, and this printer in it.
            environ: of this process.
            wall: returns the Unix time in s.
            end: connects to the farm's server; None: by NATS.

        Raises:
            ConfigError: the configuration, the seed or the certificate cannot be used.
        """
        super().__init__(client, folder)
        check(config)
        self._config = config
        if end is None:
            address = NatsAddress(config.servers, seed(config, environ), tls_context(config.ca_file))
            end = NatsAgentEnd(config.id, address)
        self._end = end
        self._lock = _lock(folder)
        printer = FrontPrinter(client, self.messages, wall)
        try:
            self._agent = Agent(
                end,
                printer,
                folder,
                wall,
                url=config.url or client.url,
                group=config.group,
                tools=tools(config),
            )
        except OSError as error:
            raise ConfigError(f"{folder}: the agent's notes cannot be read: {error.strerror or error}") from error
        self._agent.on_change = self._tell_front

    async def run(self) -> None:
        """Run the agent until cancelled."""
        try:
            await self._agent.run()
        finally:
            os.close(self._lock)

    def describe_activity(self) -> str:
        """Return the line for `systemctl status`."""
        agent = self._agent
        if (entry := agent.entry) is not None:
            text = f"holds copy {entry.copy} ({entry.name}, {entry.stage})"
        else:
            reason = agent.why_not_ready
            text = f"takes nothing: {reason}" if reason else "waits for an offer"
        return f"{text}; {agent.trouble}" if agent.trouble else text

    def _tell_front(self) -> None:
        agent = self._agent
        entry = agent.entry
        self.report_state(
            {
                "id": self._config.id,
                "group": self._config.group,
                "connected": self._end.is_connected,
                "trouble": agent.trouble or None,
                "ready": not agent.why_not_ready,
                "waits_for": agent.why_not_ready or None,
                "on_hold": agent.on_hold,
                "copy": entry.copy if entry is not None else None,
                "stage": entry.stage if entry is not None else None,
                "file": entry.name if entry is not None else None,
                "does": self.describe_activity(),
            }
        )


def _lock(folder: Path) -> int:
    """Return a descriptor that holds the lock while it is open: two agents would overwrite each other's notes.

    Raises:
        ConfigError: another agent is running, or the file cannot be locked.
    """
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror or error}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise ConfigError(f"another agent is running with the notes in {folder}: stop it first") from error
    return descriptor
