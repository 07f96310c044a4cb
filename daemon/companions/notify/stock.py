"""Stock: keeps Spoolman's spools up to date with what prints use. No print waits for it, or notices it."""

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from daemon.companions.notify.ledger import MOST_SPOOLS, Ledger
from daemon.companions.notify.news import end_key
from daemon.companions.notify.spoolman import Spool, Spoolman, SpoolmanAway, SpoolmanRefused
from daemon.private_file import write_private
from daemon.set_aside import set_aside

FILE = "spools.json"
MOST_TOOLS = 16
LATE = 180.0
"""Seconds after its end in which what a print has used may be found out."""

log = structlog.get_logger()


class Stock:
    """The books, their file, and the way to Spoolman.

    Attributes:
        ledger: the books.
        away: what is wrong with Spoolman; None: nothing.
        spools: those that are on tools, as they were when they were looked at last.
    """

    def __init__(self, api: Spoolman, folder: Path, changed: Callable[[], None]) -> None:
        """Prepare; `changed` is called when there is something else to be told."""
        self.ledger = Ledger()
        self.away: str | None = None
        self.spools: dict[int, Spool] = {}
        self._api = api
        self._file = folder / FILE
        self._changed = changed
        self._turn = asyncio.Lock()
        self._saved = ""

    async def open(self) -> None:
        """Read the books; those that are damaged are set aside, and begun anew."""
        await asyncio.to_thread(self._read)

    def _read(self) -> None:
        try:
            self.ledger.restore(json.loads(self._file.read_text("utf-8")))
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
            self.ledger = Ledger()
            set_aside(self._file, str(error) or "it makes no sense", "no spool is chosen")

    async def _save(self) -> None:
        """Have the books on the disk; raises OSError."""
        text = json.dumps(self.ledger.document())
        if text != self._saved:
            await asyncio.to_thread(write_private, self._file, text, replace=True)
            self._saved = text

    # -- what is used ------------------------------------------------------------------------------------------

    async def choose(self, tool: int, spool: int | None, using: Mapping[str, Any] | None) -> None:
        """Put a spool on a tool.

        Args:
            tool: its number.
            spool: its number in Spoolman; None: none.
            using: what the print under way has used; that belongs to the spool before.

        Raises:
            SpoolmanAway, SpoolmanRefused: nobody knows the spool.
            OSError: it cannot be kept.
        """
        found = await self._api.spool(spool) if spool is not None else None
        async with self._turn:
            self._take(using)
            self.ledger.choose(tool, spool)
            await self._save()
        if found is not None:
            self.spools[found.id] = found
        self._changed()

    async def take(self, using: Mapping[str, Any] | None) -> None:
        """Take over what the print under way has used; raises OSError."""
        async with self._turn:
            if self._take(using):
                await self._save()

    def _take(self, using: Mapping[str, Any] | None) -> bool:
        if not using or using.get("job") is None:
            return False
        return self.ledger.take(_job(using["job"], using), _lengths(using.get("tools")))

    async def take_ends(self, jobs: list[dict[str, Any]], date: float) -> None:
        """Take over what prints have used that have ended, of the history; raises OSError."""
        async with self._turn:
            for job in jobs:
                end, used = end_key(job), _lengths(job.get("filament"))
                if self.ledger.has_ended(end) or job.get("ended") is None:
                    continue
                if used or date - float(job["ended"]) > LATE or not job.get("began"):
                    self.ledger.take(_job(job["id"], job), used, final=True)
                    self.ledger.end(end, _job(job["id"], job))
            await self._save()

    async def know(self, jobs: list[dict[str, Any]]) -> None:
        """Take these for reported: they were printed before anybody chose a spool here; raises OSError."""
        if not self._file.exists():
            for job in jobs:
                if job.get("ended") is not None:
                    self.ledger.end(end_key(job), _job(job["id"], job))
            await self._save()

    # -- what is reported --------------------------------------------------------------------------------------

    async def report(self) -> None:
        """Report what is owed, and look how much is left; raises OSError."""
        wanted = [*dict.fromkeys([*self.ledger.due(), *self.ledger.chosen.values()])][:MOST_SPOOLS]
        trouble = None
        for spool in wanted:
            try:
                async with self._turn:
                    await self._report(spool)
            except SpoolmanAway as error:
                trouble = str(error)
                break  # the others would only wait, too
            except SpoolmanRefused as error:
                trouble = f"spool {spool}: {error}"
                await self._refused(spool, error)
        if trouble != self.away:
            log.warning("spoolman.trouble" if trouble else "spoolman.well", reason=trouble)
        self.away = trouble
        self._changed()

    async def _report(self, number: int) -> None:
        ledger = self.ledger
        found = await self._api.spool(number)
        if number in ledger.pending and ledger.counted(number, found.used_length) is None:
            log.warning("spoolman.doubtful", spool=number, consequence="what was reported is taken for counted")
        if number in ledger.due():
            mm = ledger.begin(number, found.used_length)
            await self._save()
            found = await self._api.use(number, mm)
            if ledger.answered(number, found.used_length):
                log.info("spoolman.reported", spool=number, mm=round(mm, 1))
        await self._save()
        self.spools[number] = found

    async def _refused(self, spool: int, error: SpoolmanRefused) -> None:
        async with self._turn:
            if error.gone:
                self.ledger.forgive(spool)
                self.spools.pop(spool, None)
            else:
                self.ledger.refused(spool)
            await self._save()

    # -- what is told ------------------------------------------------------------------------------------------

    async def all(self) -> list[dict[str, Any]]:
        """Return all spools, for people to choose from; raises SpoolmanAway, SpoolmanRefused."""
        return [each.as_json() for each in await self._api.spools()]

    def as_json(self, hotends: int) -> dict[str, Any]:
        """Return what clients are told, of so many tools."""
        tools = sorted({*range(min(max(1, hotends), MOST_TOOLS)), *self.ledger.chosen})
        return {
            "away": self.away,
            "tools": [self._tool(tool) for tool in tools],
            "owed": round(sum(mm for mm in self.ledger.owed.values() if mm > 0)),
        }

    def _tool(self, tool: int) -> dict[str, Any]:
        number = self.ledger.chosen.get(tool)
        spool = self.spools.get(number) if number is not None else None
        return {"tool": tool, "id": number, "spool": spool.as_json() if spool is not None else None}


def _job(number: object, about: Mapping[str, Any]) -> str:
    return f"{number} {about.get('size')} {about.get('path')}"


def _lengths(tools: Any) -> dict[int, float]:
    """Return the mm of each tool; what makes no sense is left out."""
    found: dict[int, float] = {}
    for each in tools if isinstance(tools, list) else ():
        tool, length = (each.get("tool"), each.get("length")) if isinstance(each, dict) else (None, None)
        if isinstance(tool, int) and 0 <= tool < MOST_TOOLS and isinstance(length, int | float):
            found[tool] = float(length)
    return found
