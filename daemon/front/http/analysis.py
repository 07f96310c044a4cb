"""What is known of files, in the words of the API."""

from daemon.errors import NoSuchFile
from daemon.front.analysis.findings import Findings
from daemon.front.http.base import ApiHandler
from daemon.front.uploads.filenames import check_path
from daemon.front.views.analysis import key_of

_LONGEST_SIZE = 11  # characters of 99999x99999


class ThumbnailHandler(ApiHandler):
    """/downloads/thumbnails/local/<path>: a file's picture."""

    signable = True

    async def get(self, path: str) -> None:
        """Send the picture of the size asked for (`size=WIDTHxHEIGHT`), else the largest.

        Raises:
            NoSuchFile: there is no such file, or no such picture in it.
        """
        entry = await self.service.files.info("/".join(check_path(path)))
        found = await self.service.analyses.get(key_of(entry)) if entry.type != "folder" else None
        wanted = self.get_query_argument("size", "")
        picture = None if found is None else _of_size(found, wanted) if wanted else found.thumbnail
        if picture is None:
            raise NoSuchFile(f"there is no picture of {path}" + (f" of the size {wanted[:20]}" if wanted else ""))
        self.set_header("Content-Type", "image/png")
        self.set_header("Cache-Control", "private, max-age=60")
        self.add_header("Vary", "X-Api-Key, Authorization")  # a browser keeps it for who has shown the key alone
        self.write(picture)


def _of_size(found: Findings, wanted: str) -> bytes | None:
    width, _, height = wanted.partition("x")
    if not (width.isdecimal() and height.isdecimal() and len(wanted) <= _LONGEST_SIZE):
        return None
    return found.picture(int(width), int(height))
