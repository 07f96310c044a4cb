"""octorest controls prints, as its users do. Runs in its own environment."""

import sys
import time

from octorest import OctoRest

url, key, long, short = sys.argv[1:]
client = OctoRest(url=url, apikey=key)


def until(state: str) -> None:
    end = time.monotonic() + 200
    while (current := client.job_info()["state"]) != state:
        assert time.monotonic() < end, f"{current}, not {state}"
        time.sleep(0.02)


until("Operational")
assert client.get_version()["text"].startswith("OctoPrint")
assert client.connection_info()["current"]["state"] == client.state() == "Operational"
for path in (long, short):
    client.upload(path)
assert {entry["name"] for entry in client.files(recursive=True)["files"]} == {"long.gcode", "short.gcode"}
client.select("long.gcode")
assert client.job_info()["job"]["file"]["name"] == "long.gcode"
client.start()
until("Printing")
client.pause()
until("Paused")
client.resume()
until("Printing")
client.toggle()
until("Paused")
client.restart()
until("Printing")
client.cancel()
until("Operational")
client.tool_target(50)
client.bed_target(40)
client.home(["x", "y"])
client.jog(x=1.0)
client.gcode("M117 hello")
assert client.printer()["state"]["flags"]["ready"] is True
assert "tool0" in client.tool()
assert "bed" in client.bed()
assert "plugins" in client.settings()
assert client.printer_profiles()["profiles"]
assert client.system_commands() is not None
assert client.timelapses()["files"] == []
client.select("short.gcode", print=True)
until("Operational")
assert client.job_info()["progress"]["completion"] == 100.0
client.delete("long.gcode")
assert [entry["name"] for entry in client.files()["files"]] == ["short.gcode"]
client.disconnect()
assert client.state() in ("Closed", "Offline")
