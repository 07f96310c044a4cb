"""Tabs of a real browser with the page of a host in them."""

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, BrowserContext, CDPSession, sync_playwright

from bench.hosts import KEY, HostFailed

SLOWER = 4
TIMEOUT = 60.0  # s for a page to be of use
POLL = 0.02

_LOOK = """(signs => {
  const isThere = ([where, word]) =>
    [...document.querySelectorAll(where)].some(each => each.textContent.includes(word) && each.checkVisibility());
  const look = () => requestAnimationFrame(() => {
    if (!signs.every(isThere)) return look();
    requestAnimationFrame(() => { // it is seen by now
      globalThis.benchUseful = performance.timeOrigin + performance.now();
    });
  });
  if (window === top) look();
})(%s)"""


class VisitedPage:
    """A tab with a page in it."""

    def __init__(self, page: Any, address: str, signs: Sequence[tuple[str, str]]) -> None:
        """Prepare.

        Args:
            page: the tab.
            address: of the page.
            signs: what a usable page shows: a selector and a text each.
        """
        self.page = page
        self._address = address
        page.add_init_script(_LOOK % json.dumps(signs))
        self.tools: CDPSession = page.context.new_cdp_session(page)

    def slow_down(self) -> None:
        """Slow down the processor of the page, and count the CPU time of its main thread, whatever else runs."""
        self.tools.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
        self.tools.send("Performance.enable", {"timeDomain": "threadTicks"})

    def open(self) -> float:
        """Open the page; return the seconds until it is usable.

        The page checks that itself at each frame, as questions from outside would take part of its time.

        Raises:
            HostFailed: it never was.
        """
        began, end = time.time(), time.monotonic() + TIMEOUT
        self.page.goto(self._address, wait_until="commit")
        while time.monotonic() < end:
            found = self.tools.send("Runtime.evaluate", {"expression": "globalThis.benchUseful"})["result"]
            if "value" in found:
                return float(found["value"]) / 1000 - began
            time.sleep(POLL)
        raise HostFailed(f"{self._address} was not usable within {TIMEOUT:g} s")

    def metric(self, name: str) -> float:
        """Return a figure that the browser keeps of the page."""
        found: list[dict[str, Any]] = self.tools.send("Performance.getMetrics")["metrics"]
        return float(next(each["value"] for each in found if each["name"] == name))

    def heap(self) -> float:
        """Return what scripts hold, in MB."""
        self.tools.send("HeapProfiler.collectGarbage")
        return self.metric("JSHeapUsedSize") / 1e6

    def memory(self) -> float:
        """Return the memory of scripts in MB, including arrays and elements outside their heap."""
        self.tools.send("HeapProfiler.collectGarbage")
        found = self.tools.send("Runtime.getHeapUsage")
        return (
            float(sum(found.get(each, 0) for each in ("usedSize", "embedderHeapUsedSize", "backingStorageSize"))) / 1e6
        )


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a browser.

    Raises:
        HostFailed: there is none.
    """
    if (program := shutil.which("chromium") or shutil.which("google-chrome")) is None:
        raise HostFailed("there is no Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--enable-precise-memory-info"]
        )
        try:
            yield browser
        finally:
            browser.close()


def open_nozzled(context: BrowserContext, url: str, view: str = "") -> VisitedPage:
    """Return a tab for the page of nozzled, with a key."""
    context.add_init_script(f"localStorage.setItem('nozzled.key', {json.dumps(KEY)})")
    signs = [("header h1", ""), ("main button.what", "")] if view else _PRINTS
    return VisitedPage(context.new_page(), f"{url}/#{view}" if view else f"{url}/", signs)


_PRINTS = [("h1", "Printing"), ("header dd", "°C"), ("main progress", "")]


def open_octoprint(context: BrowserContext, url: str) -> VisitedPage:
    """Return a tab for OctoPrint's page, logged in."""
    if context.browser is not None:
        with context.browser.new_context() as other:  # its cache is not the measured one
            page = other.new_page()
            page.goto(f"{url}/")
            page.locator("#login-user").fill("bench")
            page.locator("#login-password").fill("bench")
            page.locator("#login-button").click()
            page.locator("#state_wrapper").wait_for(timeout=1000 * TIMEOUT)
            context.add_cookies([{**each} for each in other.cookies()])  # type: ignore[typeddict-item]  # they differ in name alone
    return VisitedPage(context.new_page(), f"{url}/", [("#state_wrapper", "Printing"), ("#temp", "°C")])
