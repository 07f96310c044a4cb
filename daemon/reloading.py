"""Reloader: reloads the configuration at SIGHUP. What can change during a print is applied; the rest is logged."""

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
    """A part with a configuration."""

    config: Config


class Reloader:
    """Reloads the configuration, one reload at a time."""

    def __init__(
        self,
        part: HasConfig,
        config: Config,
        reread: Callable[[], Config],
        sections: Sequence[str],
        also: Callable[[], None] | None = None,
    ) -> None:
        """Prepare.

        Args:
            part: the part whose configuration is replaced.
            config: as it was read at the start; the part's own may hold choices made over the API as well.
            reread: returns the new one; blocks.
            sections: those that can change at any time, as the part looks them up at each use.
            also: has other processes reload too; None: there are none, and another process logs the outcome.
        """
        self._part = part
        self._read = config
        self._reread = reread
        self._sections = sections
        self._also = also
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Reload, unless a reload is in progress."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._reload())

    async def _reload(self) -> None:
        notify.reloading(asyncio.get_running_loop().time())
        try:
            config = await asyncio.to_thread(self._reread)
        except NozzledError as error:
            if self._also is not None:
                log.warning("config.refused", reason=str(error), consequence="the previous configuration stays in use")
        else:
            self._apply(config)
        notify.ready()

    def _apply(self, config: Config) -> None:
        before = self._read
        changed = [each.name for each in fields(config) if getattr(config, each.name) != getattr(before, each.name)]
        applied = {name: getattr(config, name) for name in changed if name in self._sections}
        self._read = replace(before, **applied)
        self._part.config = replace(self._part.config, **applied)
        service_log.set_level(config.log.level)
        if self._also is None:
            return
        self._also()
        log.info("config.reloaded", sections=list(applied))
        if others := [name for name in changed if name not in self._sections]:
            log.warning("config.needs_restart", sections=others)
