"""Our clients against OctoPrint itself: they use its real API, not only our idea of it."""

import asyncio
import json
from contextlib import aclosing
from pathlib import Path

import pytest

from daemon.client import AccessDenied, Conflict, NotFound, OctoPrintClient
from support.foreign import run
from support.processes import NOZZLED, program
from support.real_octoprint import KEY, octoprint

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(900)]

MOVES = b"".join(b"G1 X%d F600\n" % (n % 2 * 100) for n in range(200))
MODULE = Path(__file__).parents[2] / "daemon" / "client" / "octoprint.mjs"
SCENARIO = Path(__file__).parents[1] / "support" / "client_scenario.mjs"
IN_NODE = f"""
import {{ OctoPrintClient }} from {json.dumps(MODULE.as_uri())};
import {{ scenario }} from {json.dumps(SCENARIO.as_uri())};
const [url, key] = process.argv.slice(1);
await new OctoPrintClient(url, key).connection.connect({{ port: "VIRTUAL", baudrate: 115200 }});
console.log(JSON.stringify(await scenario({{ OctoPrintClient, url, key }})));
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with octoprint(tmp_path_factory.mktemp("octoprint")) as url:
        yield url


async def until_state(client, state):
    async with asyncio.timeout(90):
        while (await client.job.get())["state"] != state:  # noqa: ASYNC110 - a client only sees what it asks for
            await asyncio.sleep(0.05)


@pytest.mark.real_time
async def test_the_python_client_prints_with_octoprint(url):
    kinds = []

    async def listen(client):
        async with aclosing(client.push()) as messages:
            async for message in messages:
                kinds.append(message.payload["type"] if message.kind == "event" else message.kind)  # noqa: PERF401 - it never ends

    async with OctoPrintClient(url, KEY) as client:
        listening = asyncio.create_task(listen(client))
        await client.connection.connect("VIRTUAL", 115200)
        await until_state(client, "Operational")
        uploaded = await client.files.upload(MOVES, name="Würfel №2.gcode", folder="parts", select=True)
        path = uploaded["files"]["local"]["path"]
        assert uploaded["effectiveSelect"]
        assert (await client.files.get(path))["size"] == len(MOVES)
        await client.job.start()
        await until_state(client, "Printing")
        await client.job.pause()
        await until_state(client, "Paused")
        await client.job.resume()
        await until_state(client, "Printing")
        await client.job.toggle_pause()
        await until_state(client, "Paused")
        await client.job.restart()
        await until_state(client, "Printing")
        with pytest.raises(Conflict):
            await client.job.start()
        await client.job.cancel()
        await until_state(client, "Operational")
        await client.printer.heat({"tool0": 50, "bed": 40})
        await client.printer.home(["x"])
        await client.printer.jog(x=1, z=-0.5)
        await client.printer.send("M117 one", "M117 two")
        assert len((await client.printer.get(history=1))["temperature"]["history"]) == 1
        await client.files.delete("parts")
        with pytest.raises(NotFound):
            await client.files.select(path)
        async with OctoPrintClient(url, "wrong") as unauthorised:
            with pytest.raises(AccessDenied):
                await unauthorised.files.upload(MOVES * 500, name="a.gcode")
        await client.connection.disconnect()
        listening.cancel()
    assert kinds[:2] == ["connected", "history"]
    assert {"current", "PrintStarted", "PrintPaused", "PrintResumed", "PrintCancelled"} <= {*kinds}


def test_the_javascript_client_in_node_prints_with_octoprint(url):
    result = json.loads(run(program("node", "nodejs"), "--input-type=module", "--eval", IN_NODE, url, KEY))
    assert result["version"] == "OctoPrint 1.11.8"
    assert result["entry"] is result["downloaded"] is result["quiet"] is True
    assert [status for _, status, _ in result["errors"]] == [409, 404, 403, None]
    assert {"connected", "history", "current", "PrintStarted", "PrintCancelled"} <= {*result["heard"]}


def test_the_command_line_prints_with_octoprint(url, tmp_path):
    key = tmp_path / "key"
    key.write_text(KEY)

    def nozzled(*words):
        return run(NOZZLED, *words, "--url", url, "--key-file", key)

    (tmp_path / "part.gcode").write_bytes(MOVES)
    assert "part.gcode" in nozzled("files", "upload", tmp_path / "part.gcode")
    assert "part.gcode" in nozzled("files", "list")
    assert nozzled("job", "status").startswith("state ")
    assert nozzled("printer", "status").startswith("state ")
    nozzled("files", "delete", "part.gcode")
