"""The files of the farm's page; they need no key, only the data that they show does."""

import asyncio

from daemon.farm import page_files
from daemon.farm.http.base import FarmHandler
from daemon.http.errors import Refused


class FarmPageHandler(FarmHandler):
    """/ and /page/<name>."""

    is_public = True

    async def get(self, name: str) -> None:
        """Answer with a file of the page, or with 304 if the browser has it already."""
        file = await asyncio.to_thread(page_files.find, name)
        if file is None:
            raise Refused(404, "Not Found")
        self.set_header("Content-Type", file.kind)
        self.set_header("Content-Security-Policy", page_files.POLICY)
        self.set_header("Cache-Control", "no-cache")
        self.set_header("Etag", f'"{file.digest}"')
        if self.check_etag_header():
            self.set_status(304)
            return
        self.write(file.data)
