"""Reloader: reloads the configuration at SIGHUP. It applies what can change during a print, and logs the rest."""

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
        reload_others: Callable[[], None] | None = None,
    ) -> None:
        """Prepare.

        Args:
            part: the part whose configuration is replaced.
            config: as it was read at the start; that of the part may also contain choices made over the API.
            reread: returns the new one; blocks.
            sections: those that can change at any time, because the part looks them up at each use.
            reload_others: makes the other processes reload; None: this is one of them, and does not log the outcome.
        """
        self._part = part
        self._file_config = config
        self._reread = reread
        self._sections = sections
        self._reload_others = reload_others
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
            if self._reload_others is not None:
                log.warning("config.refused", reason=str(error), consequence="the previous configuration stays in use")
        else:
            self._apply(config)
        notify.ready()

    def _apply(self, config: Config) -> None:
        before = self._file_config
        changed = [each.name for each in fields(config) if getattr(config, each.name) != getattr(before, each.name)]
        applied = {name: getattr(config, name) for name in changed if name in self._sections}
        self._file_config = replace(before, **applied)
        self._part.config = replace(self._part.config, **applied)
        service_log.set_level(config.log.level)
        if self._reload_others is None:
            return
        self._reload_others()
        log.info("config.reloaded", sections=list(applied))
        if others := [name for name in changed if name not in self._sections]:
            log.warning("config.needs_restart", sections=others)
