"""octoprint.mjs in Node and in a browser, against the service on a socket, which serves it."""

import asyncio
import json
from pathlib import Path

import pytest
from playwright.async_api import async_playwright

from support.chromium import launch_options
from support.client import listening
from support.http import KEY, api
from support.processes import LIFETIME, program
from support.waiting import TIMEOUT

MODULE = Path(__file__).parents[2] / "daemon" / "client" / "octoprint.mjs"
SCENARIO = Path(__file__).parents[1] / "support" / "client_scenario.mjs"

RUN = f"""
import {{ OctoPrintClient }} from {json.dumps(MODULE.as_uri())};
import {{ scenario }} from {json.dumps(SCENARIO.as_uri())};
const [url, key, transport] = process.argv.slice(1);
console.log(JSON.stringify(await scenario({{ OctoPrintClient, url, key, transport }})));
"""


async def run_in_node(script, *arguments):
    """Return the output of a script, which runs in its own process."""
    process = await asyncio.create_subprocess_exec(
        program("node", "nodejs"), "--input-type=module", "--eval", script, *arguments, stdout=-1, stderr=-1
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), LIFETIME)
    except TimeoutError:
        process.kill()
        await process.communicate()
        raise
    assert process.returncode == 0, err.decode()
    return out.decode()


def check(result):
    """Check the observations of the scenario."""
    assert result["version"].startswith("OctoPrint 1.11")
    assert result["path"] == "parts/Würfel №2.gcode"
    assert result["entry"] is result["downloaded"] is result["quiet"] is True
    assert result["picture"] == 404  # it has none
    assert result["start"] is None
    shown, reports = result["full"]
    assert reports == 1
    assert {"state", "temperature"} <= {*shown}
    assert "sd" not in shown  # it was excluded
    assert result["files"] == ["copy.gcode", "empty", "parts"]
    refused = [["OctoPrintError", status, True] for status in (409, 404, 403, None)]
    assert result["errors"] == refused
    assert result["heard"][:2] == ["connected", "history"]
    events = iter(result["heard"])
    for event in ("PrintStarted", "PrintPaused", "PrintResumed", "PrintPaused", "PrintStarted", "PrintCancelled"):
        assert event in events, f"no {event} in its turn: {result['heard']}"
    assert "current" in result["heard"]
    assert "reauthRequired" not in result["heard"]


@pytest.mark.real_time
async def test_node_prints_without_a_web_socket(tmp_path):
    async with listening(tmp_path, "sim?speed=20") as (_, url):
        check(json.loads(await run_in_node(RUN, url, KEY, "xhr_streaming")))


BROWSER = TIMEOUT * 1000  # ms
IN_PAGE = """async ([scenario, key, transport]) => {
    const { OctoPrintClient } = await import("/client/octoprint.mjs");
    const source = URL.createObjectURL(new Blob([scenario], { type: "text/javascript" }));
    return (await import(source)).scenario({ OctoPrintClient, url: location.origin, key, transport });
}"""


async def run_in_page(browser, folder, transport):
    async with listening(folder, "sim?speed=20") as (_, url):
        page = await browser.new_page(
            bypass_csp=True
        )  # any page of this origin will do; the policy of this one allows no script
        await page.goto(f"{url}/client/octoprint.mjs", timeout=BROWSER)
        return await page.evaluate(IN_PAGE, [SCENARIO.read_text(), KEY, transport])


@pytest.mark.real_time
async def test_a_browser_prints_over_each_transport(tmp_path):
    options = launch_options()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(**options, timeout=BROWSER)
        try:
            both = [await run_in_page(browser, tmp_path / each, each) for each in ("websocket", "xhr_streaming")]
        finally:
            await browser.close()
    for result in both:
        check(result)
        assert result["progress"]["loaded"] == result["progress"]["total"] > 0


COMMANDS = """
import { OctoPrintClient } from MODULE;
const sent = [];
globalThis.fetch = async (url, { method, body, headers }) => {
  sent.push([method, url, body ? JSON.parse(body) : null, headers["X-Api-Key"]]);
  return new Response(null, { status: 204 });
};
const job = new OctoPrintClient("http://p", "key").job;
for (const each of ["get", "start", "cancel", "restart", "pause", "resume", "togglePause"]) await job[each]();
console.log(JSON.stringify(sent));
""".replace("MODULE", json.dumps(MODULE.as_uri()))


@pytest.mark.real_time
async def test_each_method_of_the_job_is_one_request():
    url = "http://p/api/job"
    bodies = [
        *({"command": command} for command in ("start", "cancel", "restart")),
        *({"command": "pause", "action": action} for action in ("pause", "resume", "toggle")),
    ]
    sent = json.loads(await run_in_node(COMMANDS))
    assert sent == [["GET", url, None, "key"], *(["POST", url, body, "key"] for body in bodies)]


RETRIES = """
import { OctoPrintClient } from MODULE;
globalThis.setTimeout = ((set) => (call, _, ...rest) => set(call, 0, ...rest))(globalThis.setTimeout);
const counts = [];
for (const answer of [() => { throw new TypeError("lost"); }, () => new Response("", { status: 503 })]) {
  let count = 0;
  globalThis.fetch = async () => (count++, answer());
  const { job, files } = new OctoPrintClient("http://p", "key");
  for (const call of [() => job.get(), () => job.togglePause(), () => files.delete("local", "a")]) {
    count = 0;
    await call().catch((error) => counts.push([count, error.status]));
  }
}
console.log(JSON.stringify(counts));
""".replace("MODULE", json.dumps(MODULE.as_uri()))


@pytest.mark.real_time
async def test_only_read_requests_are_repeated():
    assert json.loads(await run_in_node(RETRIES)) == [[3, None], [1, None], [1, None], [3, 503], [1, 503], [1, 503]]


REASONS = """
import { OctoPrintClient } from MODULE;
const reasons = [];
for (const text of ['{"error": "busy"}', '{"detail": "no"}', "null", "plain", ""]) {
  globalThis.fetch = async () => new Response(text, { status: 409, statusText: "Conflict" });
  await new OctoPrintClient("http://p", "key").job.start().catch((error) => reasons.push(error.text));
}
console.log(JSON.stringify(reasons));
""".replace("MODULE", json.dumps(MODULE.as_uri()))


@pytest.mark.real_time
async def test_an_error_has_the_servers_own_words():
    reasons = json.loads(await run_in_node(REASONS))
    assert reasons == ["busy", '{"detail": "no"}', "null", "plain", "Conflict"]


LIMITS = """
import { OctoPrintClient } from MODULE;
let sent = 0;
globalThis.XMLHttpRequest = class {
  upload = {};
  open() {}
  setRequestHeader() {}
  send() {
    sent++;
    if (this.timeout) this.ontimeout();
  }
};
const { files } = new OctoPrintClient("http://p", "key");
const file = new Blob(["G28"]);
const texts = [];
for (const limit of [{ timeout: 5 }, { signal: AbortSignal.abort(new Error("given up")) }]) {
  const upload = files.upload("local", file, { filename: "a.gcode" }, { onProgress: () => {}, ...limit });
  await upload.catch((error) => texts.push([error.status, error.text]));
}
console.log(JSON.stringify({ sent, texts }));
""".replace("MODULE", json.dumps(MODULE.as_uri()))


@pytest.mark.real_time
async def test_an_upload_with_progress_keeps_to_its_timeout_and_its_signal():
    result = json.loads(await run_in_node(LIMITS))
    assert result == {"sent": 1, "texts": [[None, "timeout after 5 ms"], [None, "given up"]]}


RECONNECTS = """
import { OctoPrintClient } from MODULE;
globalThis.setTimeout = ((set) => (call, _, ...rest) => set(call, 0, ...rest))(globalThis.setTimeout);
const last = new TextEncoder().encode('o\\na[{"end": 1}]\\n');
const open = new ReadableStream({ start: (control) => control.enqueue(last) });
const streams = STREAMS;
const sessions = new Set();
let logins = 0;
globalThis.fetch = async (url, { body }) => {
  if (url.endsWith("/api/login")) return Response.json({ name: "_api", session: `s${++logins}` });
  if (url.endsWith("/xhr_send")) {
    told.push(JSON.parse(JSON.parse(body)[0]));
    return new Response(null, { status: 204 });
  }
  sessions.add(url);
  return new Response(streams.length ? streams.shift() : open);
};
const told = [];
const client = new OctoPrintClient("http://p", "key");
const heard = [];
client.socket.onMessage("*", ({ event }) => heard.push(event));
const end = new Promise((resolve) => client.socket.onMessage("end", resolve));
await client.socket.connect({ throttle: 2, transport: "xhr_streaming" });
await end;
while (told.length < 4) await new Promise(setImmediate);
client.socket.disconnect();
console.log(JSON.stringify({ heard, told, sessions: sessions.size }));
""".replace("MODULE", json.dumps(MODULE.as_uri()))


@pytest.mark.real_time
@pytest.mark.parametrize(
    "streams",
    [
        ['o\na[{"current": 1}]\nc[3000,"Go away!"]\n'],  # the server ends the session
        ['o\na[{"current": 1}]\n', 'o\na[{"current": 2}]\n'],  # it has forgotten it
        ['o\na[{"current": 1}]\n', ""],  # it is silent
        ['o\na["{\\"current\\": 1}"]\nh\n', 'a[{"current": 2}]\n', "c[]\n"],  # long answers end now and then
        ['o\na[{"current": 1}]\nnonsense\na[not json\n'],
    ],
)
async def test_an_ended_stream_is_reopened_with_a_new_session(streams):
    result = json.loads(await run_in_node(RECONNECTS.replace("STREAMS", json.dumps(streams))))
    assert result["sessions"] == 2
    assert result["told"] == [{"auth": "_api:s1"}, {"throttle": 2}, {"auth": "_api:s2"}, {"throttle": 2}]
    assert [event for event in result["heard"] if event != "current"] == ["close", "reconnecting", "end"]


async def test_the_module_needs_no_key_and_is_cached(tmp_path):
    async with api(tmp_path, "") as server:
        for method in ("GET", "HEAD"):
            response = await server.request(method, "/client/octoprint.mjs", key=None, headers={"Host": "127.0.0.1"})
            assert response.status == 200
            assert response.headers["Content-Type"] == "text/javascript; charset=utf-8"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
        response = await server.get("/client/octoprint.mjs", key=None, headers={"Host": "127.0.0.1"})
        assert response.body == MODULE.read_bytes()
        again = await server.get("/client/octoprint.mjs", headers={"If-None-Match": response.headers["Etag"]})
        assert (again.status, again.body) == (304, b"")
