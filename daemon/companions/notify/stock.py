"""Reports to Spoolman how much filament prints use. No print waits for Spoolman."""

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from daemon.companions.notify.ledger import MAX_SPOOLS, Ledger
from daemon.companions.notify.notice_finder import end_key
from daemon.companions.notify.spoolman import Spool, Spoolman, SpoolmanAway, SpoolmanRefused
from daemon.private_file import write_private
from daemon.set_aside import set_aside

FILE = "spools.json"
MAX_TOOLS = 16
USE_TIMEOUT = 180.0
"""If the filament that a print has used is still unknown after this many seconds, the print is closed without it."""

log = structlog.get_logger()


class Stock:
    """The ledger, its file, and the connection to Spoolman.

    Attributes:
        ledger: use that was reported, and use that is owed.
        trouble: why Spoolman cannot be used; None: it can.
        spools: the spools on tools, as Spoolman last described them.
    """

    def __init__(self, api: Spoolman, folder: Path, on_change: Callable[[], None]) -> None:
        """Prepare; `on_change` is called when `as_json` may have changed."""
        self.ledger = Ledger()
        self.trouble: str | None = None
        self.spools: dict[int, Spool] = {}
        self._api = api
        self._file = folder / FILE
        self._on_change = on_change
        self._lock = asyncio.Lock()
        self._saved_text = ""

    async def open(self) -> None:
        """Read the ledger's file; a damaged file is set aside, and the ledger starts empty."""
        await asyncio.to_thread(self._read)

    def _read(self) -> None:
        try:
            self.ledger.restore(json.loads(self._file.read_text("utf-8")))
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError) as error:
            self.ledger = Ledger()
            set_aside(self._file, str(error) or "it makes no sense", "no spool is chosen")

    async def _save(self) -> None:
        """Save the ledger; raises OSError."""
        text = json.dumps(self.ledger.document())
        if text != self._saved_text:
            await asyncio.to_thread(write_private, self._file, text, replace=True)
            self._saved_text = text

    # -- use ---------------------------------------------------------------------------------------------------

    async def choose(self, tool: int, spool: int | None, use_so_far: Mapping[str, Any] | None) -> None:
        """Put a spool on a tool.

        Args:
            tool: its number.
            spool: its number in Spoolman; None: none.
            use_so_far: what the current print has used so far, from the previous spool.

        Raises:
            SpoolmanAway, SpoolmanRefused: Spoolman does not answer, or does not know the spool.
            OSError: it cannot be saved.
        """
        described = await self._api.get_spool(spool) if spool is not None else None
        async with self._lock:
            self._take(use_so_far)
            before = self.ledger.spool_of_tool.get(tool)
            self.ledger.choose(tool, spool)
            try:
                await self._save()
            except OSError:
                self.ledger.choose(tool, before)
                raise
        if described is not None:
            self.spools[described.id] = described
        self._on_change()

    async def take(self, use_so_far: Mapping[str, Any] | None) -> None:
        """Enter what the current print has used; raises OSError."""
        async with self._lock:
            if self._take(use_so_far):
                await self._save()

    def _take(self, use_so_far: Mapping[str, Any] | None) -> bool:
        if not use_so_far or use_so_far.get("job") is None:
            return False
        return self.ledger.take(_job_key(use_so_far["job"], use_so_far), _lengths(use_so_far.get("tools")))

    async def take_ends(self, jobs: list[dict[str, Any]], date: float) -> None:
        """Enter what the ended prints of the history have used; raises OSError."""
        async with self._lock:
            for job in jobs:
                end, used = end_key(job), _lengths(job.get("filament"))
                if self.ledger.has_ended(end) or job.get("ended") is None:
                    continue
                if used or date - float(job["ended"]) > USE_TIMEOUT or not job.get("began"):
                    self.ledger.take(_job_key(job["id"], job), used, final=True)
                    self.ledger.close(end, _job_key(job["id"], job))
            await self._save()

    async def skip_old_prints(self, jobs: list[dict[str, Any]]) -> None:
        """Close these prints without a report: they ended before the ledger existed. Raises OSError."""
        if not self._file.exists():
            for job in jobs:
                if job.get("ended") is not None:
                    self.ledger.close(end_key(job), _job_key(job["id"], job))
            await self._save()

    # -- reports -----------------------------------------------------------------------------------------------

    async def report(self) -> None:
        """Report the use that is owed, and read how much filament is left; raises OSError."""
        spools = [*dict.fromkeys([*self.ledger.spools_due(), *self.ledger.spool_of_tool.values()])][:MAX_SPOOLS]
        trouble = None
        for spool in spools:
            try:
                async with self._lock:
                    await self._report(spool)
            except SpoolmanAway as error:
                trouble = str(error)
                break  # the other spools would fail, too
            except SpoolmanRefused as error:
                trouble = f"spool {spool}: {error}"
                await self._settle_refusal(spool, error)
        if trouble != self.trouble:
            log.warning("spoolman.trouble" if trouble else "spoolman.well", reason=trouble)
        self.trouble = trouble
        self._on_change()

    async def _report(self, number: int) -> None:
        ledger = self.ledger
        described = await self._api.get_spool(number)
        if number in ledger.pending_reports and ledger.check_counted(number, described.used_length) is None:
            log.warning("spoolman.doubtful", spool=number, consequence="the report is assumed to be counted")
        if number in ledger.spools_due():
            mm = ledger.begin_report(number, described.used_length)
            await self._save()
            described = await self._api.report_use(number, mm)
            if ledger.settle_by_answer(number, described.used_length):
                log.info("spoolman.reported", spool=number, mm=round(mm, 1))
        await self._save()
        self.spools[number] = described

    async def _settle_refusal(self, spool: int, error: SpoolmanRefused) -> None:
        async with self._lock:
            if error.is_gone:
                self.ledger.write_off(spool)
                self.spools.pop(spool, None)
            else:
                self.ledger.drop_refused(spool)
            await self._save()

    # -- for clients -------------------------------------------------------------------------------------------

    async def list_spools(self) -> list[dict[str, Any]]:
        """Return the spools, for users to choose from; raises SpoolmanAway, SpoolmanRefused."""
        return [each.as_json() for each in await self._api.get_spools()]

    def as_json(self, hotends: int) -> dict[str, Any]:
        """Return the state for clients, with `hotends` tools at least."""
        tools = sorted({*range(min(max(1, hotends), MAX_TOOLS)), *self.ledger.spool_of_tool})
        return {
            "away": self.trouble,
            "tools": [self._tool(tool) for tool in tools],
            "owed": round(sum(mm for mm in self.ledger.owed_mm.values() if mm > 0)),
        }

    def _tool(self, tool: int) -> dict[str, Any]:
        number = self.ledger.spool_of_tool.get(tool)
        spool = self.spools.get(number) if number is not None else None
        return {"tool": tool, "id": number, "spool": spool.as_json() if spool is not None else None}


def _job_key(number: object, about: Mapping[str, Any]) -> str:
    return f"{number} {about.get('size')} {about.get('path')}"


def _lengths(tools: Any) -> dict[int, float]:
    """Return the length of each tool, in mm; invalid entries are left out."""
    lengths: dict[int, float] = {}
    for each in tools if isinstance(tools, list) else ():
        tool, length = (each.get("tool"), each.get("length")) if isinstance(each, dict) else (None, None)
        if isinstance(tool, int) and 0 <= tool < MAX_TOOLS and isinstance(length, int | float):
            lengths[tool] = float(length)
    return lengths
