"""A tab in which the printer is in any state at once: what the service says passes through here and is changed.

The service is the real one, and what it says has its shape; only values are replaced. Time is the browser's own, and
can be moved on.
"""

import copy
import json

from support.browser import Tab


def merged(base, changes):
    """Return a copy of the base with these values in it, level by level."""
    made = copy.deepcopy(base)
    for name, value in changes.items():
        known = made.get(name)
        made[name] = merged(known, value) if value and isinstance(value, dict) and isinstance(known, dict) else value
    return made


class Stage(Tab):
    """A tab whose state is what `show` says."""

    def __init__(self, browser, daemon, **options):
        super().__init__(browser, daemon, **options)
        self._changes = {}
        self._real = None
        self._socket = None
        self._seq = 0
        self._is_lost = False
        self.page.clock.install()
        self.page.route_web_socket("**/sockjs/websocket", self._opened)

    def show(self, **changes):
        """The page hears that all is as the service has said, but for these values."""
        self._is_lost = False
        self._changes = changes
        self._say()

    def talk(self, lines):
        """The console hears these lines."""
        self.hear({"console": {"lines": lines, "dropped": 0}})

    def hear(self, what):
        """The page hears this, as the next message."""
        self._seq += 1
        self._socket.send(json.dumps({"page": {"seq": self._seq, **what}}))

    def ask_for_access(self, **request):
        """A device asks for access."""
        data = {"type": "request_access", "user_token": "t", **request}
        self._socket.send(json.dumps({"plugin": {"plugin": "appkeys", "data": data}}))

    def lose(self):
        """The connection ends, and none comes any more; the page notices."""
        self._is_lost = True
        self._socket.close()
        self.page.clock.fast_forward(8_000)

    def answer(self, path, body):
        """The page gets this answer from an address of the API."""
        self.page.route(path, lambda route: route.fulfill(json=body))

    def _opened(self, socket):
        self._socket = socket
        if self._is_lost:
            socket.close()
            return
        server = socket.connect_to_server()
        server.on_message(self._heard)

    def _heard(self, message):
        page = json.loads(message).get("page", {})
        if "all" in page:
            self._real = page["all"]
            self._seq = 0
            self._say()

    def _say(self):
        if self._real is not None:
            self.hear({"all": merged(self._real, self._changes)})
