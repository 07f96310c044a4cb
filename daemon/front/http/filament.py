"""/api/job/filament: the filament that the running print has used, and will have used."""

import asyncio
from typing import Any

from daemon.front.analysis.findings import Findings
from daemon.front.history.filament import usage
from daemon.front.http.base import ApiHandler


class JobFilamentHandler(ApiHandler):
    """/api/job/filament."""

    async def get(self) -> None:
        """Show what each tool has used up to the last acknowledged line, and what it will have used at the end."""
        jobs = self.service.jobs
        summary, selected, offset = jobs.summary, jobs.selected, jobs.progress.offset
        findings = await self.service.watch.findings(selected) if selected is not None and summary.active else None
        answer: dict[str, Any] = {
            "job": summary.id if summary.active else None,
            "path": selected.path if selected is not None and summary.active else None,
            "size": selected.size if selected is not None and summary.active else None,
            "known": findings is not None,
            "tools": [],
            "planned": [],
        }
        if findings is not None:
            answer |= await asyncio.to_thread(_usage, findings, offset or 0)
        self.write(answer)


def _usage(findings: Findings, offset: int) -> dict[str, Any]:
    """Return both lists; takes some ms for a large file."""
    return {"tools": usage(findings, offset, complete=False), "planned": usage(findings, 0, complete=True)}
