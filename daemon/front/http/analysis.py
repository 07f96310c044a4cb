"""/downloads/thumbnails: the thumbnails that slicers put into files."""

from daemon.errors import NoSuchFile
from daemon.front.analysis.findings import Findings
from daemon.front.http.base import ApiHandler
from daemon.front.uploads.filenames import check_path
from daemon.front.views.analysis import key_of

_MAX_SIZE_LENGTH = 11  # characters of 99999x99999


class ThumbnailHandler(ApiHandler):
    """/downloads/thumbnails/local/<path>."""

    accepts_signed_address = True

    async def get(self, path: str) -> None:
        """Send the thumbnail of the requested size (`size=WIDTHxHEIGHT`), by default the largest.

        Raises:
            NoSuchFile: there is no such file, or it has no such thumbnail.
        """
        entry = await self.service.files.info("/".join(check_path(path)))
        findings = await self.service.analyses.get(key_of(entry)) if entry.type != "folder" else None
        size = self.get_query_argument("size", "")
        picture = None if findings is None else _of_size(findings, size) if size else findings.thumbnail
        if picture is None:
            raise NoSuchFile(f"{path} has no thumbnail" + (f" of the size {size[:20]}" if size else ""))
        self.set_header("Content-Type", "image/png")
        self.set_header("Cache-Control", "private, max-age=60")
        self.add_header("Vary", "X-Api-Key, Authorization")  # a browser's cache must not serve it without the key
        self.write(picture)


def _of_size(findings: Findings, size: str) -> bytes | None:
    width, _, height = size.partition("x")
    if not (width.isdecimal() and height.isdecimal() and len(size) <= _MAX_SIZE_LENGTH):
        return None
    return findings.picture(int(width), int(height))
