"""Reloader: SIGHUP. What can change under a running print is taken over; what takes a restart is named."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Protocol

import structlog

from daemon import log as service_log
from daemon.config import Config
from daemon.systemd import notify
from gcode.errors import NozzledError

log = structlog.get_logger()


class HasConfig(Protocol):
    """What works by a configuration."""

    config: Config


class Reloader:
    """Reads the configuration again, once at a time."""

    def __init__(
        self,
        part: HasConfig,
        reread: Callable[[], Config],
        sections: Sequence[str],
        also: Callable[[], None] | None = None,
    ) -> None:
        """Prepare.

        Args:
            part: whose configuration it is.
            reread: returns the new one; blocks.
            sections: what can be taken over; they are looked up each time that they are used.
            also: has others do the same; None: there are none, and somebody else says what has changed.
        """
        self._part = part
        self._reread = reread
        self._sections = sections
        self._also = also
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Reload, unless that is under way."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._reload())

    async def _reload(self) -> None:
        notify.reloading(asyncio.get_running_loop().time())
        try:
            config = await asyncio.to_thread(self._reread)
        except NozzledError as error:
            if self._also is not None:
                log.warning("config.refused", reason=str(error), consequence="what was configured before holds on")
        else:
            self._take_over(config)
        notify.ready()

    def _take_over(self, config: Config) -> None:
        now = self._part.config
        changed = [each.name for each in fields(config) if getattr(config, each.name) != getattr(now, each.name)]
        taken = {name: getattr(config, name) for name in changed if name in self._sections}
        self._part.config = replace(now, **taken)
        service_log.set_level(config.log.level)
        if self._also is None:
            return
        self._also()
        log.info("config.reloaded", sections=list(taken))
        if left := [name for name in changed if name not in self._sections]:
            log.warning("config.needs_restart", sections=left)
