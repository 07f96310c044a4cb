"""Texts that need no key: the plain front page, and the files that browsers request by habit."""

import html

from daemon import __version__
from daemon.front.http.base import ApiHandler

STYLE = '<link rel="stylesheet" href="page/notice.css">'

PAGE = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>nozzled</title>
{STYLE}
<h1>nozzled</h1>
<p>This machine runs nozzled {html.escape(__version__)}, which drives a 3D printer.</p>
<p>Slicers and apps connect to this address as to an OctoPrint server, with an API key. On this machine,
<code>nozzled key</code> shows it.</p>
<p><a href="api/docs">The API</a> · from a terminal: <code>nozzled job status</code>, <code>nozzled --help</code></p>
</html>
"""


class PublicHandler(ApiHandler):
    """Base of the handlers that send the same text to every client."""

    is_public = True
    checks_keys = False
    text = ""
    kind = "text/plain; charset=UTF-8"

    def get(self) -> None:
        """Send the text."""
        self.set_header("Content-Type", self.kind)
        self.set_header("Cache-Control", "no-cache")
        self.write(self.text)


class OnlineHandler(PublicHandler):
    """/online.txt: OctoPrint's page polls it during a restart."""

    text = "online\n"


class RobotsHandler(PublicHandler):
    """/robots.txt."""

    text = "User-agent: *\nDisallow: /\n"


class IconHandler(PublicHandler):
    """/favicon.ico: there is no icon, but a 404 would look like an error in browsers' consoles."""

    def get(self) -> None:
        """Answer 204."""
        self.no_content()
