"""Connects the printer after it was switched on, as soon as its port appears."""

import asyncio

import structlog

from daemon.client import ClientError, OctoPrintClient

RETRY_INTERVAL = 2.0

log = structlog.get_logger()


class Connector:
    """Connects to the printer, retrying until its port is there."""

    def __init__(self, client: OctoPrintClient, patience: float) -> None:
        """Prepare; `patience` is how long to wait for the port, in s."""
        self._client = client
        self._patience = patience
        self._task: asyncio.Task[None] | None = None

    def begin(self, port: object = None, baudrate: object = None) -> None:
        """Start connecting, in the background."""
        self.stop()
        port_name = port if isinstance(port, str) else None
        rate = baudrate if isinstance(baudrate, int) and not isinstance(baudrate, bool) else None
        self._task = asyncio.create_task(self._connect(port_name, rate))

    def stop(self) -> None:
        """Stop connecting."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _connect(self, port: str | None, baudrate: int | None) -> None:
        loop = asyncio.get_running_loop()
        until, reason = loop.time() + self._patience, "it did not answer"
        while loop.time() < until:
            try:
                state = (await self._client.connection.get())["current"]["state"]
                if state.startswith(("Closed", "Offline")):
                    await self._client.connection.connect(port, baudrate)
                elif state not in ("Connecting", "Opening serial connection"):
                    return
            except ClientError as error:
                reason = str(error)
            await asyncio.sleep(RETRY_INTERVAL)
        log.warning("power.not_connected", reason=reason)
