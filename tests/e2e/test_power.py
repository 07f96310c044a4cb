"""`nozzled power serve` as a process beside the service on a socket, with a plug on another one."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from support.client import listening
from support.plugs import Tasmota
from support.processes import environment
from support.waiting import until

pytestmark = pytest.mark.real_time

CONFIG = """
[paths]
state_dir = "{state}"

[power]
poll_s = 1
[[power.devices]]
name = "Printer"
type = "tasmota"
role = "printer"
address = "{address}"
password_file = "plug.password"
"""


async def test_a_plug_is_switched_by_the_companion_process(tmp_path, record_property):
    state = tmp_path / "state"
    async with Tasmota("joker").running() as plug, listening(state, switched_on=["power"]) as (service, url):
        plug.on = True
        path = tmp_path / "nozzled.toml"
        path.write_text(CONFIG.format(state=state, address=plug.address))
        (tmp_path / "plug.password").write_text("joker\n")
        notices = []
        service.front.events.subscribe(lambda notice: notices.append((notice.name, dict(notice.payload))))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "daemon", "power", "serve", "--config", path, "--url", url,
            env={**environment(), "HOME": str(tmp_path)}, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            companions = service.front.companions
            await until(lambda: (companions.state("power") or {}).get("on") is True)
            await until(lambda: not companions.is_away("power"))
            reply = await companions.ask("power", "off", {}, scope="control")
            assert (reply.status, plug.on) == (200, False)
            await until(lambda: ("plugin_psucontrol_psu_state_changed", {"isPSUOn": False}) in notices)
            service.front.events.publish("EmergencyStop", {"confirmed": False})  # heard, and not acted upon: by default
            plug.on = True
            await until(lambda: companions.state("power")["on"])
            assert plug.on
            status = Path(f"/proc/{process.pid}/status").read_text()  # noqa: ASYNC240 - a view of the kernel
            resident = int(status.partition("VmRSS:")[2].split()[0])
            assert resident < 60 * 1024
            record_property("measured", f"nozzled power serve: {resident / 1024:.1f} MiB resident")
        finally:
            process.send_signal(signal.SIGTERM)
            log = await process.stderr.read()
            assert await process.wait() == 0, log.decode()
        assert b"joker" not in log
        assert plug.on, "its end switches nothing"
