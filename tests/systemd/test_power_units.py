"""The units of `nozzled power` and of a relay's holder on a real systemd, with their restrictions."""

import pytest

from support import systemd_box
from support.systemd_box import BoxDaemon

SWITCHES = """
[power]
[[power.devices]]
name = "lamp"
type = "command"
on_command = ["/usr/bin/touch", "/tmp/lamp"]
off_command = ["/usr/bin/rm", "-f", "/tmp/lamp"]
state_command = ["/bin/sh", "-c", "test -e /tmp/lamp && echo on || echo off"]
[[power.devices]]
name = "fan"
type = "relay"
relay = "fan"
"""


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_switches_are_switched_from_inside_their_units(box):
    systemd_box.configure(box)
    systemd_box.install(box)
    assert box.run("systemctl", "is-enabled", "nozzled-power.service", check=False) == "disabled"
    box.shell(f"cat >>/etc/nozzled.toml <<'END'{SWITCHES}END")
    box.run("systemctl", "restart", "nozzled-front.service")
    box.run("systemctl", "enable", "--now", "nozzled-power.service")
    box.until(
        lambda: "lamp: off" in box.run("nozzled", "power", "status", check=False), "the service to know its switches"
    )
    assert box.run("nozzled", "power", "on", "lamp") == "lamp: on"
    assert "fan: unknown" in box.run("nozzled", "power", "status")
    assert "nozzled-relay@fan" in box.run("nozzled", "power", "status")
    # there is no chip here: the holder runs as far as the kernel's answer
    lines = "LINE=17\\nCHIP=/dev/null\\n"
    box.shell(f"printf '{lines}' >/etc/nozzled/relay-fan.conf; systemctl start nozzled-relay@fan || true")
    assert "/dev/null, GPIO line 17: " in box.journal("-u", "nozzled-relay@fan", "-o", "cat")
    box.run("systemctl", "stop", "nozzled-power.service", "nozzled-relay@fan.service")
    assert BoxDaemon(box).get("/api/companions/power")["state"]["devices"][0]["on"] is True, "an end switches nothing"
