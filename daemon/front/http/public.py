"""What everybody is answered, whatever key they send: the front page, and what browsers look for by habit."""

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
<p>A printer is looked after here, by nozzled {html.escape(__version__)}.</p>
<p>Slicers and apps connect to this address as to an OctoPrint server, with an API key: <code>nozzled key</code> shows
it on the machine that this runs on.</p>
<p><a href="api/docs">The API</a> · from a terminal: <code>nozzled job status</code>, <code>nozzled --help</code></p>
</html>
"""


class PublicHandler(ApiHandler):
    """Base: a text that is the same for everybody."""

    for_everybody = True
    judges_keys = False
    text = ""
    kind = "text/plain; charset=UTF-8"

    def get(self) -> None:
        """Send it."""
        self.set_header("Content-Type", self.kind)
        self.set_header("Cache-Control", "no-cache")
        self.write(self.text)


class OnlineHandler(PublicHandler):
    """/online.txt: OctoPrint's own page asks for it while it waits for a restart."""

    text = "online\n"


class RobotsHandler(PublicHandler):
    """/robots.txt."""

    text = "User-agent: *\nDisallow: /\n"


class IconHandler(PublicHandler):
    """/favicon.ico: there is none, which is no error."""

    def get(self) -> None:
        """Answer 204."""
        self.no_content()
