"""The messages for an open page: a snapshot, its changes, heartbeats, and the lines of the console."""

import asyncio
import json
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from daemon.bridge.remote import RemoteConnection
from daemon.front.access.scopes import Scope
from daemon.front.page_files import Files, files
from daemon.front.push.page import BEAT_INTERVAL, CORE_TIMEOUT, MAX_LINES, REFRESH_INTERVAL, RETRY_INTERVAL, Feed, Pages
from support.analyses import InlineWorker
from support.http import NOW, api
from support.job_host import MOVES
from support.push import Listener

FILE = "\n".join(MOVES).encode()
LONG = "\n".join(MOVES * 20).encode()


@pytest.fixture(autouse=True)
def _read():
    """Read the page's files: a thread does it otherwise, and virtual time does not wait for that."""
    files().find("index.html")


class Page(Listener):
    """A page, which keeps its snapshot up to date as a browser does."""

    def __init__(self, server):
        super().__init__(server)
        self.shown = {}
        self.times = []  # (time, kind) of each update
        self.updates = []

    async def _send(self, texts):
        await self.gate.wait()
        for text in texts:
            message = json.loads(text)
            self.messages.append(message)
            if "page" not in message:
                continue
            page = message["page"]
            self.updates.append(page)
            self.times.append((asyncio.get_running_loop().time(), next(kind for kind in page if kind != "seq")))
            if "all" in page:
                self.shown = page["all"]
            for key, value in page.get("set", {}).items():
                part, _, name = key.partition(".")
                if name:
                    self.shown[part][name] = value
                else:
                    self.shown[part] = value

    async def open(self, subscription=True, **key):
        self.say(subscribe={"page": subscription})
        await self.login(**key)

    def changes(self, key):
        return [each["set"][key] for each in self.updates if key in each.get("set", {})]

    def beats(self):
        return [time for time, kind in self.times if kind == "beat"]

    def console(self):
        return [line for each in self.updates if "console" in each for line in each["console"]["lines"]]


@asynccontextmanager
async def showing(folder, address="sim", **sections):
    """Run the service with an open page; yields both."""
    async with api(folder, address, **sections) as server:
        page = Page(server)
        await page.open()
        yield server, page


async def test_a_page_gets_a_snapshot_and_no_octoprint_messages(tmp_path):
    async with api(tmp_path) as server:
        await server.settle(5)
        page = Page(server)
        await page.open()
        await server.settle(1)  # a thread finds out what the page is made of
        assert set(page.kinds()) == {"connected", "page"}
        shown = page.shown
        parts = {
            "server",
            "printer",
            "job",
            "link",
            "profile",
            "settings",
            "queue",
            "analysis",
            "thumbnail",
            "toolpath",
        }
        assert set(shown) == parts
        assert shown["server"]["time"] == NOW
        assert shown["printer"]["state"] == "ready"
        assert shown["printer"]["text"] == "Operational"
        assert shown["printer"]["heaters"]["tool0"]["target"] == 0
        assert shown["printer"]["homed"] is False
        assert (shown["printer"]["heatersAt"], shown["printer"]["heatersEvery"]) == (int(NOW), 5.0)
        assert (shown["printer"]["feed"], shown["printer"]["position"], shown["printer"]["stop"]) == (None, None, None)
        assert shown["job"]["state"] is None
        assert shown["job"]["file"] is None
        assert shown["profile"]["maxBed"] == 120
        assert shown["link"]["sent"] > 0


async def test_a_page_without_a_session_gets_nothing_and_costs_nothing(tmp_path):
    async with api(tmp_path) as server:
        page = Page(server)
        page.say(subscribe={"page": True})
        await server.settle(10)
        assert page.kinds() == ["connected"]
        assert page.server.application.settings["hub"].pages._task is None


async def test_a_page_that_subscribes_after_its_login_gets_the_same_snapshot(tmp_path):
    async with api(tmp_path) as server:
        page = Page(server)
        await page.login()
        page.say(subscribe={"page": True})
        await server.settle(0.1)
        assert page.kinds() == ["connected", "history", "timelapse", "page"]
        assert page.updates[0]["seq"] == 1


async def test_beats_come_every_two_seconds_and_messages_are_numbered(tmp_path):
    async with showing(tmp_path, "") as (server, page):
        await server.settle(19)  # the figures of the connection are sent at 20 s
        beats = page.beats()
        assert len(beats) >= 9
        assert all(after - before <= BEAT_INTERVAL + 0.1 for before, after in pairwise(beats))
        assert [each["seq"] for each in page.updates] == list(range(1, len(page.updates) + 1))
        assert page.updates[-1] == {"seq": len(page.updates), "beat": NOW}


async def test_a_page_follows_a_print_from_start_to_end(tmp_path):
    async with showing(tmp_path) as (server, page):
        await server.print("\n".join(MOVES * 4).encode())
        assert page.shown["job"]["state"] == "printing"
        assert page.shown["job"]["file"]["name"] == "a.gcode"
        await server.post("/api/job", {"command": "pause", "action": "pause"})
        await server.settle(30)
        assert page.shown["job"]["state"] == "paused"
        await server.post("/api/job", {"command": "pause", "action": "resume"})
        await server.settle(400)
        states = page.changes("job.state")
        assert states == ["starting", "printing", "pausing", "paused", "resuming", "printing", "finishing", "completed"]
        assert page.shown["job"]["last"] == {"outcome": "completed", "reason": None}
        done = [each["completion"] for each in page.changes("job.progress")]
        assert done[-1] == 100
        assert len(set(done)) > 5
        sets = [time for time, kind in page.times if kind == "set"]
        transitions = sum(len(page.changes(key)) for key in ("job.state", "printer.state", "job.active"))
        assert len(sets) <= (sets[-1] - sets[0]) / REFRESH_INTERVAL + transitions


async def test_a_change_of_state_is_sent_at_once(tmp_path):
    async with showing(tmp_path) as (server, page):
        await server.print(LONG)
        for command, expected in (("pause", "pausing"), ("cancel", "cancelling")):
            await server.post("/api/job", {"command": command})
            await asyncio.sleep(0)
            await asyncio.sleep(0.05)
            assert page.shown["job"]["state"] == expected


async def test_a_program_gets_transitions_at_once_and_the_rest_every_five_seconds(tmp_path):
    async with api(tmp_path) as server:
        page = Page(server)
        await page.open({"patient": True})
        await server.settle(6)
        page.updates.clear()
        page.times.clear()
        await server.print(LONG, 1)
        assert page.changes("job.state")[-1] == "printing"
        page.times.clear()
        await server.settle(20)
        assert sum(kind == "set" for _, kind in page.times) <= 5
        open_page = Page(server)
        await open_page.open()
        await server.settle(3)
        assert sum(kind == "set" for _, kind in open_page.times) >= 3, "a page is open now"


async def test_files_of_the_page_are_not_read_for_programs(tmp_path, monkeypatch):
    """They take more than a MiB, and a program has no use for them."""
    shared = Files()
    monkeypatch.setattr("daemon.front.page_files.files", lambda: shared)
    async with api(tmp_path) as server:
        programs = [Page(server), Page(server)]
        await programs[0].open({"patient": True})
        await programs[1].open({"program": True})
        await server.settle(6)
        assert [each.shown["server"]["page"] for each in programs] == ["", ""]
        assert shared.digest == ""
        browser = Page(server)
        await browser.open()
        await server.settle(3)
        assert browser.shown["server"]["page"] == shared.digest != ""
        firsts = [message for message in browser.updates if "all" in message]
        assert [each["all"]["server"]["page"] for each in firsts] == [shared.digest], "the first it hears is right"


async def test_every_state_of_a_print_is_sent_however_short(tmp_path):
    async with showing(tmp_path) as (server, page):
        await server.upload(("file", "a.gcode", b"G28\n"))
        await server.settle(5)
        for _ in range(2):  # one after the other at once
            await server.post("/api/files/local/a.gcode", {"command": "select", "print": True})
            async with asyncio.timeout(60):
                while server.service.jobs.active:  # noqa: ASYNC110 - the next one follows at once
                    await asyncio.sleep(0.001)
        await server.settle(3)
        assert page.changes("job.state") == ["starting", "printing", "finishing", "completed"] * 2


async def test_a_page_that_reads_nothing_meanwhile_gets_every_state(tmp_path):
    async with showing(tmp_path) as (server, page):
        await server.upload(("file", "a.gcode", b"G4 P500\n"))
        await server.settle(5)
        page.gate.clear()
        await server.post("/api/files/local/a.gcode", {"command": "select", "print": True})
        await server.settle(6)
        page.gate.set()
        await server.settle(3)
        assert page.changes("job.state") == ["starting", "printing", "finishing", "completed"]


async def test_fan_factors_tool_and_position_are_shown_once_they_are_known(tmp_path):
    async with showing(tmp_path) as (server, page):
        commands = ["M106 S51", "M220 S150", "M221 T0 S95", "G28", "G1 X12.5 Y7 Z3 F6000", "M400", "M114"]
        await server.post("/api/printer/command", {"commands": commands})
        await server.settle(60)
        printer = page.shown["printer"]
        assert (printer["fan"], printer["feed"], printer["flow"]) == (0.2, 1.5, 0.95)
        assert printer["position"] == {"x": 12.5, "y": 7.0, "z": 3.0}
        assert printer["homed"] is True
        await server.post("/api/printer/printhead", {"command": "jog", "x": 1})
        await server.settle(1)
        assert page.shown["printer"]["position"] is None, "it has moved since the last M114"
        await server.post("/api/printer/command", {"command": "M114"})
        await server.settle(5)
        assert page.shown["printer"]["position"]["x"] == 13.5


async def test_the_state_of_a_disconnected_printer_is_not_shown(tmp_path):
    async with api(tmp_path) as server:
        await server.settle(5)
        page = Page(server)
        await page.open()
        await server.post("/api/printer/command", {"command": "M112"})
        await server.settle(0.1)
        assert page.shown["printer"]["state"] == "fault"
        assert page.shown["printer"]["heaters"] is None
        assert page.shown["printer"]["homed"] is None
        assert page.shown["printer"]["fan"] is None
        await server.settle(10)
        assert (page.shown["printer"]["stop"], page.shown["printer"]["fault"]) == ("confirmed", None)
        await server.post("/api/connection", {"command": "connect", "port": "VIRTUAL"})
        await server.settle(30)
        assert (page.shown["printer"]["state"], page.shown["printer"]["stop"]) == ("ready", None)


async def test_the_reason_of_a_halt_is_shown_until_a_user_has_seen_it(tmp_path):
    async with api(tmp_path, "sim") as server:
        await server.settle(5)
        page = Page(server)
        await page.open()
        halt = b"Error:Heating failed, system stopped! Heater_ID: 0\n"
        for command in ({"command": "seen"}, {"command": "connect"}):
            server.service.connection.printer._pump.on_data(halt)
            await server.settle(30)
            assert page.shown["printer"]["state"] == "ready", "it is back by itself"
            fault = page.shown["printer"]["fault"]
            assert (fault["at"], fault["kind"]) == (int(NOW), "not_heating")
            assert fault["text"] == "the firmware has halted: Heating failed, system stopped! Heater_ID: 0"
            await server.post("/api/connection", command)
            await server.settle(30)
            assert page.shown["printer"]["fault"] is None
            assert page.shown["printer"]["state"] == "ready"


async def test_power_problems_of_this_machine_are_shown(tmp_path, monkeypatch):
    monkeypatch.setattr("daemon.front.machine.power", lambda: {"now": ["undervoltage"], "since": []})
    async with showing(tmp_path) as (server, page):
        await server.settle(15)
        assert page.shown["server"]["power"] == ["undervoltage"]


async def test_the_end_of_the_last_print_is_shown_after_a_restart(tmp_path):
    async with api(tmp_path) as server:
        await server.settle(5)
        await server.print(FILE, 60)
    async with api(tmp_path) as server:
        await server.settle(5)
        page = Page(server)
        await page.open()
        await server.settle(5)
        assert page.shown["job"]["last"] == {"outcome": "completed", "reason": None, "name": "a.gcode"}
        assert page.shown["job"]["state"] is None


async def test_an_unconfirmed_stop_is_shown_as_unconfirmed(tmp_path):
    async with showing(tmp_path, "sim") as (server, page):
        server.service.connection.printer._on_stop_ended("error", "the printer did not confirm the stop")
        await server.settle(1)
        assert page.shown["printer"]["stop"] == "unconfirmed"


async def test_messages_and_prompts_of_the_panel_are_shown(tmp_path):
    async with showing(tmp_path) as (server, page):
        for action in ("notification <b>hot</b>", "prompt_begin Runout", "prompt_button Go on", "prompt_show"):
            server.service.connection.printer._pump.on_data(f"//action:{action}\n".encode())
        await server.settle(1)
        assert page.shown["printer"]["message"] == {"text": "<b>hot</b>", "at": int(NOW)}
        assert page.shown["printer"]["prompt"] == {"text": "Runout", "choices": ["Go on"]}


async def test_the_console_starts_with_past_lines_and_then_has_each_line_once(tmp_path):
    async with api(tmp_path) as server:
        await server.settle(5)
        page = Page(server)
        await page.open({"console": True})
        await server.settle(1)
        before = page.console()
        assert {"M115", "M105"} & {text.split("*")[0].split(" ", 1)[-1] for _, _, text in before}
        await server.post("/api/printer/command", {"commands": ["M117 one", "M117 two"]})
        await server.settle(5)
        texts = [text for arrow, _, text in page.console() if arrow == ">" and "M117" in text]
        assert [text.partition("M117 ")[2][:3] for text in texts] == ["one", "two"]
        assert all(each["console"]["dropped"] == 0 for each in page.updates if "console" in each)


async def test_dropped_lines_are_marked(tmp_path):
    async with api(tmp_path, "sim?speed=100") as server:
        page = Page(server)
        await page.open({"console": True})
        await server.print(LONG)
        assert any(each["console"]["dropped"] > 0 for each in page.updates if "console" in each)


async def test_a_page_without_the_console_gets_no_lines(tmp_path):
    async with showing(tmp_path) as (server, page):
        await server.settle(10)
        assert page.console() == []


async def test_two_pages_share_one_snapshot_and_count_for_themselves(tmp_path):
    async with api(tmp_path) as server:
        first, second = Page(server), Page(server)
        await first.open()
        await server.settle(10)
        await second.open({"console": True})
        await server.upload(("file", "a.gcode", FILE), ("select", b"true"))
        await server.settle(10)
        assert first.shown["job"]["file"]["name"] == "a.gcode"
        assert {**first.shown, "server": {}} == {**second.shown, "server": {}}
        for page in (first, second):
            assert [each["seq"] for each in page.updates] == list(range(1, len(page.updates) + 1))


async def test_a_slow_page_gets_only_the_newest_values(tmp_path):
    async with api(tmp_path) as server:
        page = Page(server)
        await page.open({"console": True})
        page.gate.clear()
        await server.settle(0.1)
        await server.print(LONG, 40)
        count = len(page.updates)
        page.gate.set()
        await server.settle(0.1)
        assert page.shown["job"]["state"] == "printing"
        assert len(page.updates) - count < 10
        await server.settle(1)
        assert [each["seq"] for each in page.updates] == list(range(1, len(page.updates) + 1))


async def test_waiting_console_lines_are_bounded_and_omitted_ones_counted(tmp_path):
    async with api(tmp_path, "") as server:
        feed = Feed(Pages(server.service.front), lambda: None, console=True)
        feed._is_whole_due = False
        feed.add_lines([("<", 1.0, str(number)) for number in range(MAX_LINES)], 0)
        feed.add_lines([("<", 2.0, "last")] * 10, 3)
        [message] = map(json.loads, feed.take())
        console = message["page"]["console"]
        assert (len(console["lines"]), console["dropped"]) == (MAX_LINES, 13)
        assert console["lines"][0][2] == "10"
        assert feed.take() == []


async def test_the_analysis_of_the_selected_file_is_sent_when_it_is_ready(tmp_path):
    async with api(tmp_path, analysis={"enabled": True}) as server:
        server.service.analyses._run = InlineWorker().run
        page = Page(server)
        await page.open()
        assert page.shown["analysis"] is None
        await server.upload(("file", "a.gcode", FILE), ("select", b"true"))
        await server.settle(RETRY_INTERVAL + 1)
        assert page.shown["job"]["file"]["path"] == "a.gcode"
        assert page.shown["analysis"]["duration"] > 0
        assert page.shown["thumbnail"] is None
        await server.post("/api/files/local/a.gcode", {"command": "unselect"})
        await server.settle(1)
        assert page.shown["analysis"] is None


async def test_a_refused_file_is_shown_at_once_with_the_reasons(tmp_path):
    profile = {"width_mm": 100.0, "depth_mm": 100.0, "height_mm": 100.0}
    async with api(tmp_path, analysis={"enabled": True}, profile=profile) as server:
        server.service.analyses._run = InlineWorker(profile=server.service.core.connection.profile).run
        page = Page(server)
        await page.open()
        await server.upload(("file", "a.gcode", b"G28\nG1 Z1 F6000\nG1 X5000 E5 F1200\n"), ("select", b"true"))
        await server.settle(RETRY_INTERVAL + 1)
        assert (await server.post("/api/job", {"command": "start"})).status == 409
        await server.settle(0.05)
        assert page.shown["job"]["refused"]["path"] == "a.gcode"
        assert page.shown["job"]["refused"]["reasons"] == page.shown["analysis"]["errors"]


async def test_a_page_is_notified_when_its_key_is_revoked_and_gets_nothing_more(tmp_path):
    async with api(tmp_path) as server:
        key = server.service.access.keyring.add("phone", Scope.CONTROL)
        page = Page(server)
        await page.open(key=key)
        await server.settle(3)
        await server.delete("/api/keys/phone")
        await server.settle(0.1)
        assert page.messages[-1] == {"reauthRequired": {"reason": "removed"}}
        count = len(page.updates)
        await server.settle(10)
        assert len(page.updates) == count


async def test_nothing_runs_after_the_last_page_has_left(tmp_path):
    async with showing(tmp_path) as (server, page):
        pages = server.application.settings["hub"].pages
        assert pages._task is not None
        page.subscriber.end()
        await server.settle(1)
        assert pages._task is None
        again = Page(server)
        await again.open()
        assert again.shown["printer"]["state"] == "ready"


@pytest.mark.parametrize("subscription", [None, 1, "yes", [], {"console": "yes"}, {"console": True, "x": {}}])
async def test_an_invalid_subscription_is_ignored(tmp_path, subscription):
    async with api(tmp_path, "") as server:
        page = Page(server)
        await page.open(subscription)
        await server.settle(1)
        assert ("page" in page.kinds()) is isinstance(subscription, dict)


async def test_no_beat_is_sent_while_the_core_hangs(tmp_path, monkeypatch):
    async with api(tmp_path) as server:
        page, late = Page(server), Page(server)
        await page.open()
        await server.settle(5)
        answering, answers = RemoteConnection.traffic, asyncio.Event()

        async def traffic(connection, since):
            await answers.wait()
            return await answering(connection, since)

        monkeypatch.setattr(RemoteConnection, "traffic", traffic)
        await server.settle(BEAT_INTERVAL + CORE_TIMEOUT)
        count = len(page.beats())
        await late.open()
        await server.settle(20)
        assert len(page.beats()) == count
        assert late.updates == []  # its values would be old
        answers.set()
        await server.settle(2 * BEAT_INTERVAL)
        assert len(page.beats()) > count
        assert late.shown["printer"]["state"] == "ready"
