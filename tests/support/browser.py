"""A browser tab with the page, with methods for actions and observations of its user; and a service that hangs."""

import json
import signal
from contextlib import contextmanager

from playwright.sync_api import expect

from support import waiting
from support.processes import TOKEN

TIMEOUT_MS = waiting.TIMEOUT * 1000
expect.set_options(timeout=TIMEOUT_MS)
GUARD = 0.6  # s; the page ignores taps for half a second


class Tab:
    """A tab with the page; `errors` has those of its scripts."""

    def __init__(self, browser, daemon, **options):
        self.daemon = daemon
        host, port = daemon.address
        self.root = f"http://{host}:{port}/"
        self.context = browser.new_context(locale="en-GB", **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(TIMEOUT_MS)
        self.errors = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._on_console)

    def weigh(self):
        """Measure requests from now on.

        Returns:
            a function of seconds: the bytes, headers included, of each request that began within that time.
        """
        network = self.context.new_cdp_session(self.page)
        network.send("Network.enable")
        starts, sizes = {}, {}

        def begin(event):
            starts[event["requestId"]] = event.get("timestamp", 0)

        network.on("Network.requestWillBeSent", begin)
        network.on("Network.webSocketCreated", begin)
        network.on(
            "Network.loadingFinished", lambda event: sizes.update({event["requestId"]: event["encodedDataLength"]})
        )

        def sizes_within(seconds):
            end = min(filter(None, starts.values())) + seconds
            return [sizes.get(each, 0) for each, at in starts.items() if at < end]

        return sizes_within

    def _on_console(self, message):
        # a refused request is no error: the page shows the refusal
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.errors.append(message.text)

    def open(self, view="now"):
        """Open a view with the owner's key."""
        self.context.add_init_script(f"localStorage.setItem('nozzled.key', {json.dumps(TOKEN)})")
        self.page.goto(f"{self.root}#{view}")
        return self

    def button(self, name, exact=True):
        return self.page.get_by_role("button", name=name, exact=exact)

    def expect_state(self, word):
        expect(self.page.locator("h1")).to_have_text(word)

    def wait_for_guard(self):
        """Wait until a new button takes taps; the page ignores earlier ones, which were meant for what it replaced."""
        self.page.wait_for_timeout(1000 * GUARD)

    def go(self, view):
        """Change the view of the open page."""
        self.page.evaluate("view => { location.hash = view; }", view)
        link = self.page.locator(f"nav a[href='#{view}']")
        if link.count():
            expect(link).to_have_attribute("aria-current", "page")

    def tab_to(self, name):
        """Press Tab until the control of this name has the focus, which must be visible."""
        control = self.page.get_by_role("button", name=name).or_(self.page.get_by_role("link", name=name))
        for _ in range(80):
            self.page.keyboard.press("Tab")
            if control.first.evaluate("each => each === document.activeElement"):
                assert control.first.evaluate("each => getComputedStyle(each).outlineStyle") != "none"
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
        """Touch an element for some seconds of the page's clock; the test has installed it, and it stays stopped."""
        box = self.page.locator(selector).bounding_box()
        finger = self.context.new_cdp_session(self.page)
        point = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        self.page.clock.pause_at(self.page.evaluate("Date.now()") / 1000 + 1)
        finger.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [point]})
        self.page.clock.run_for(1000 * seconds)
        finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


@contextmanager
def tabs(kind, browser, daemon):
    """Yield a function that opens tabs of this class. At the end they are closed, and must not have logged errors."""
    opened = []

    def new(**options):
        opened.append(kind(browser, daemon, **options))
        return opened[-1]

    yield new
    for tab in opened:
        tab.context.close()
    assert [error for tab in opened for error in tab.errors] == []


@contextmanager
def stopped(daemon):
    """Freeze the core during the block, while the front runs on."""
    daemon.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        daemon.signal(signal.SIGCONT)
