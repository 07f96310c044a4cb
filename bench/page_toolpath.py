"""Toolpaths in the page, on files of 200,000 and 2,000,000 moves: how soon they are seen, and what they take."""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Browser

from bench.browser import VisitedPage, open_nozzled
from bench.hosts import HostFailed, ServerHost
from bench.toolpath import PARTS, part

STEPS = 100
TIMEOUT = 180.0  # s for an analysis

_FIRST = """async name => {
  const seen = () => new Promise(resolve => requestAnimationFrame(() => setTimeout(resolve)));
  const button = [...document.querySelectorAll("button.what")].find(each => each.textContent.includes(name));
  const began = performance.now();
  button.click();
  while (!document.querySelector(".toolpath canvas[data-layer]")) await seen();
  await seen();
  return performance.now() - began;
}"""

_STEPS = """async count => {
  const next = () => new Promise(resolve => {
    const {port1, port2} = new MessageChannel();
    port1.onmessage = () => resolve(port1.close());
    port2.postMessage(0);
  });
  const [slider, canvas] = [document.querySelector(".layerslider input"), document.querySelector(".toolpath canvas")];
  const found = [];
  for (let step = 0; step < count; step += 1) {
    const wanted = String((Number(slider.value) % Number(slider.max)) + 1);
    await new Promise(resolve => setTimeout(resolve, 40)); // as a finger moves
    const began = performance.now();
    slider.value = wanted;
    slider.dispatchEvent(new Event("input", {bubbles: true}));
    while (canvas.dataset.layer !== wanted) await next();
    found.push(performance.now() - began);
  }
  return found;
}"""

_WHOLE = """async () => {
  const longest = {gap: 0, at: performance.now()};
  const button = document.querySelector(".toolpath button[aria-pressed]");
  const began = performance.now();
  button.click();
  while (!document.querySelector(".orbit canvas[data-whole]")) {
    await new Promise(resolve => {
      const {port1, port2} = new MessageChannel();
      port1.onmessage = () => resolve(port1.close());
      setTimeout(() => port2.postMessage(0), 2);
    });
    const now = performance.now();
    longest.gap = Math.max(longest.gap, now - longest.at);
    longest.at = now;
  }
  return [performance.now() - began, longest.gap];
}"""


@dataclass(slots=True)
class DrawingFigures:
    """What was measured of one file; times in s, memory in MB."""

    name: str
    moves: int
    first: float
    step: float
    late: float
    latest: float
    work: float
    whole: float
    longest: float
    heap: float


def measure(host: ServerHost, folder: Path, browser: Browser) -> Iterator[DrawingFigures]:
    """Measure each file in a new tab."""
    for name in ("200k", "2M"):
        path, moves = part(folder, name), PARTS[name][1]
        _upload(host, path)
        with browser.new_context() as context:
            there = open_nozzled(context, f"http://{host.client.netloc}", "files")
            there.tools.send("Performance.enable", {"timeDomain": "threadTicks"})
            there.open()
            yield _drawn(there, path.name, moves)


def _upload(host: ServerHost, path: Path) -> None:
    """Upload a file, and wait for its toolpath and a moment of quiet."""
    host.client.upload(path)
    end = time.monotonic() + TIMEOUT
    while not host.client.call("GET", f"/api/files/local/{quote(path.name)}").get("toolpath"):
        if time.monotonic() > end:
            raise HostFailed(f"{path.name} had no toolpath within {TIMEOUT:g} s")
        time.sleep(0.2)
    time.sleep(1.0)


def _drawn(there: VisitedPage, name: str, moves: int) -> DrawingFigures:
    page = there.page
    first = page.evaluate(_FIRST, name)
    page.wait_for_timeout(500)
    before = there.metric("TaskDuration")
    steps = page.evaluate(_STEPS, STEPS)
    work = (there.metric("TaskDuration") - before) / STEPS
    heap = there.memory()
    whole, longest = page.evaluate(_WHOLE)
    return DrawingFigures(
        name,
        moves,
        first / 1000,
        statistics.median(steps) / 1000,
        statistics.quantiles(steps, n=20)[-1] / 1000,
        max(steps) / 1000,
        work,
        whole / 1000,
        longest / 1000,
        max(heap, there.memory()),
    )


def show(found: list[DrawingFigures]) -> None:
    """Print a row for each file."""
    print("toolpath of       moves  first s  step ms   p95   max  work ms  all in 3D s  longest ms  heap MB")
    for each in found:
        print(
            f"{each.name:12} {each.moves:10} {each.first:8.2f} {1000 * each.step:8.1f} {1000 * each.late:5.1f}"
            f" {1000 * each.latest:5.1f} {1000 * each.work:8.1f} {each.whole:12.2f} {1000 * each.longest:11.0f}"
            f" {each.heap:8.1f}"
        )
