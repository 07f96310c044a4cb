"""A tab with the page in it, with what its reader would do and see; and a service that hangs."""

import json
import signal
from contextlib import contextmanager

from playwright.sync_api import expect

from support import waiting
from support.processes import TOKEN

PATIENCE = waiting.PATIENCE * 1000  # ms
expect.set_options(timeout=PATIENCE)


class Tab:
    """The page, with what its reader would do and see; errors that no test has asked for fail it."""

    def __init__(self, browser, daemon, **options):
        self.daemon = daemon
        host, port = daemon.address
        self.root = f"http://{host}:{port}/"
        self.context = browser.new_context(locale="en-GB", **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.errors = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._on_console)

    def weigh(self):
        """Count what is loaded from now on.

        Returns:
            a function that gives the bytes of each request, headers included, that began within so many seconds.
        """
        network = self.context.new_cdp_session(self.page)
        network.send("Network.enable")
        begun, sizes = {}, {}

        def begin(event):
            begun[event["requestId"]] = event.get("timestamp", 0)

        network.on("Network.requestWillBeSent", begin)
        network.on("Network.webSocketCreated", begin)
        network.on(
            "Network.loadingFinished", lambda event: sizes.update({event["requestId"]: event["encodedDataLength"]})
        )

        def found(seconds):
            end = min(filter(None, begun.values())) + seconds
            return [sizes.get(each, 0) for each, at in begun.items() if at < end]

        return found

    def _on_console(self, message):
        # a refused request is an answer, and the page shows it
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.errors.append(message.text)

    def open(self, view="now"):
        """Open a view, with the key of the owner."""
        self.context.add_init_script(f"localStorage.setItem('nozzled.key', {json.dumps(TOKEN)})")
        self.page.goto(f"{self.root}#{view}")
        return self

    def button(self, name, exact=True):
        return self.page.get_by_role("button", name=name, exact=exact)

    def is_in_state(self, word):
        expect(self.page.locator("h1")).to_have_text(word)

    def go(self, view):
        """Go to another view of the page that is open."""
        self.page.evaluate("view => { location.hash = view; }", view)
        known = self.page.locator(f"nav a[href='#{view}']")
        if known.count():
            expect(known).to_have_attribute("aria-current", "page")

    def tab_to(self, name):
        """Press Tab until what has this name has the focus, which has to be seen."""
        wanted = self.page.get_by_role("button", name=name).or_(self.page.get_by_role("link", name=name))
        for _ in range(80):
            self.page.keyboard.press("Tab")
            if wanted.first.evaluate("each => each === document.activeElement"):
                assert wanted.first.evaluate("each => getComputedStyle(each).outlineStyle") != "none"
                return
        raise AssertionError(f"Tab does not come to {name}")

    def drop(self, path):
        """Drop a file on the page."""
        files = self.page.evaluate_handle(
            """([name, text]) => {
                const transfer = new DataTransfer();
                transfer.items.add(new File([text], name));
                return transfer;
            }""",
            [path.name, path.read_text()],
        )
        for kind in ("dragover", "drop"):
            self.page.dispatch_event("body", kind, {"dataTransfer": files})

    def hold(self, selector, seconds):
        """Put a finger there for so long."""
        box = self.page.locator(selector).bounding_box()
        finger = self.context.new_cdp_session(self.page)
        point = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        finger.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [point]})
        self.page.wait_for_timeout(seconds * 1000)
        finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


@contextmanager
def stopped(daemon):
    """The core of the service hangs; the front goes on, and must not make believe that all is well."""
    daemon.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        daemon.signal(signal.SIGCONT)
