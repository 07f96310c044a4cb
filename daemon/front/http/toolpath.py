"""/api/files/local/<path>/toolpath: where the nozzle goes in a file, as the analysis has written it."""

import asyncio

from daemon.errors import NoSuchFile
from daemon.front.analysis.findings import Findings
from daemon.front.analysis.toolpaths import told_of
from daemon.front.http.downloads import SendingHandler
from daemon.front.views.analysis import key_of
from daemon.http.errors import Refused

FOR_EVER = "private, max-age=31536000, immutable"


class ToolpathHandler(SendingHandler):
    """/api/files/local/<path>/toolpath."""

    async def get(self, path: str) -> None:
        """Send it, whole or a range; one that is named by its id is the same for ever.

        Raises:
            NoSuchFile: there is no such file, or nothing to be drawn in it.
            Refused: it is still being made.
        """
        entry = await self.service.files.info(path)
        analyses = self.service.analyses
        key = key_of(entry)
        found = await analyses.get(key)
        if found is None and not self.service.config.analysis.enabled:
            raise NoSuchFile(f"there is no toolpath of {path}: files are not analysed ([analysis] enabled)")
        if found is None or not analyses.is_current(found):
            raise Refused(409, f"the toolpath of {path} is still being made, ask again in a moment")
        if told_of(found) is None:
            raise NoSuchFile(f"there is no toolpath of {path}: nothing is laid in layers, or it is too detailed")
        file = await asyncio.to_thread(analyses.toolpaths.read, key.path, found)
        if file is None:  # somebody has deleted it
            analyses.want(key)
            raise Refused(409, f"the toolpath of {path} is made anew, ask again in a moment")
        await self.send(file, lambda _: self._describe(found))

    def _describe(self, found: Findings) -> None:
        name = str((told_of(found) or {})["id"])
        self.set_header("ETag", f'"{name}"')
        for_ever = self.get_query_argument("v", "") == name
        self.set_header("Cache-Control", FOR_EVER if for_ever else "private, no-cache")
        self.add_header("Vary", "X-Api-Key, Authorization")  # a browser keeps it for who has shown the key alone
