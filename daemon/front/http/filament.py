"""/api/job/filament: what the print has used of what its file plans, while it goes on."""

import asyncio
from typing import Any

from daemon.front.analysis.findings import Findings
from daemon.front.history.filament import used
from daemon.front.http.base import ApiHandler


class JobFilamentHandler(ApiHandler):
    """/api/job/filament."""

    async def get(self) -> None:
        """Tell what each tool has used, by the last line that the printer has acknowledged, and what it will have."""
        jobs = self.service.jobs
        seen, selected, offset = jobs.summary, jobs.selected, jobs.progress.offset
        found = await self.service.watch.findings(selected) if selected is not None and seen.active else None
        told: dict[str, Any] = {
            "job": seen.id if seen.active else None,
            "path": selected.path if selected is not None and seen.active else None,
            "size": selected.size if selected is not None and seen.active else None,
            "known": found is not None,
            "tools": [],
            "planned": [],
        }
        if found is not None:
            told |= await asyncio.to_thread(_of, found, offset or 0)
        self.write(told)


def _of(found: Findings, offset: int) -> dict[str, Any]:
    """Return both lists. Computes for some ms where the file is large."""
    return {"tools": used(found, offset, complete=False), "planned": used(found, 0, complete=True)}
