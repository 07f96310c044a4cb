"""/api/files/local/<path>/toolpath: the nozzle's path in a file, as the analysis has stored it."""

import asyncio

from daemon.errors import NoSuchFile
from daemon.front.analysis.findings import Findings
from daemon.front.analysis.toolpaths import toolpath_info
from daemon.front.http.downloads import SendingHandler
from daemon.front.views.analysis import key_of
from daemon.http.errors import Refused

IMMUTABLE = "private, max-age=31536000, immutable"


class ToolpathHandler(SendingHandler):
    """/api/files/local/<path>/toolpath."""

    async def get(self, path: str) -> None:
        """Send the toolpath, or a range of it; if it is requested by its id, it may be cached for ever.

        Raises:
            NoSuchFile: there is no such file, or it has no toolpath.
            Refused: the file is still being analysed.
        """
        entry = await self.service.files.info(path)
        if entry.type == "folder":
            raise NoSuchFile(f"{path} is a folder")
        analyses = self.service.analyses
        key = key_of(entry)
        findings = await analyses.get(key)
        if findings is None and not self.service.config.analysis.enabled:
            raise NoSuchFile(f"{path} has no toolpath: files are not analysed ([analysis] enabled)")
        if findings is None or not analyses.is_current(findings):
            raise Refused(409, f"the toolpath of {path} is still being computed; try again in a moment")
        if toolpath_info(findings) is None:
            raise NoSuchFile(f"{path} has no toolpath: it has no layers, or is too detailed")
        file = await asyncio.to_thread(analyses.toolpaths.read, key.path, findings)
        if file is None:  # deleted by hand
            analyses.enqueue(key)
            raise Refused(409, f"the toolpath of {path} is being computed again; try again in a moment")
        await self.send(file, lambda _: self._describe(findings))

    def _describe(self, findings: Findings) -> None:
        name = str((toolpath_info(findings) or {})["id"])
        self.set_header("ETag", f'"{name}"')
        is_immutable = self.get_query_argument("v", "") == name
        self.set_header("Cache-Control", IMMUTABLE if is_immutable else "private, no-cache")
        self.add_header("Vary", "X-Api-Key, Authorization")  # a browser's cache must not serve it without the key
