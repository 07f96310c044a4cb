"""A tab that shows the printer in any state: messages of the service pass through here, and values are replaced.

The service and the shape of its messages are real. The browser's clock is moved by hand.
"""

import copy
import json

from support.browser import Tab


def merged(base, changes):
    """Return a copy of the base with these values merged in, level by level."""
    result = copy.deepcopy(base)
    for name, value in changes.items():
        old = result.get(name)
        result[name] = merged(old, value) if value and isinstance(value, dict) and isinstance(old, dict) else value
    return result


class Stage(Tab):
    """A tab that shows the state set by `show`."""

    def __init__(self, browser, daemon, **options):
        super().__init__(browser, daemon, **options)
        self._changes = {}
        self._real = None
        self._socket = None
        self._seq = 0
        self._is_lost = False
        self.page.clock.install()
        self.page.route_web_socket("**/sockjs/websocket", self._join)

    def show(self, **changes):
        """Send the service's last state with these changes."""
        self._is_lost = False
        self._changes = changes
        self._send_state()

    def add_to_console(self, lines):
        """Send lines for the console."""
        self.send({"console": {"lines": lines, "dropped": 0}})

    def send(self, what):
        """Send the next message."""
        self._seq += 1
        self._socket.send(json.dumps({"page": {"seq": self._seq, **what}}))

    def ask_for_access(self, **request):
        """Send a device's request for access."""
        data = {"type": "request_access", "user_token": "t", **request}
        self._socket.send(json.dumps({"plugin": {"plugin": "appkeys", "data": data}}))

    def lose(self):
        """Close the connection, refuse new ones, and let the page notice it."""
        self._is_lost = True
        self._socket.close()
        self.page.clock.fast_forward(8_000)

    def answer(self, path, body):
        """Answer requests to a path of the API."""
        self.page.route(path, lambda route: route.fulfill(json=body))

    def _join(self, socket):
        self._socket = socket
        if self._is_lost:
            socket.close()
            return
        server = socket.connect_to_server()
        server.on_message(self._on_message)

    def _on_message(self, message):
        page = json.loads(message).get("page", {})
        if "all" in page:
            self._real = page["all"]
            self._seq = 0
            self._send_state()

    def _send_state(self):
        if self._real is not None:
            self.send({"all": merged(self._real, self._changes)})
