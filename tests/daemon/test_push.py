"""The messages to subscribers, and their cost; the transports are in test_http_push."""

import asyncio
import json

import pytest

from daemon.bridge.words import JobState
from daemon.front.access.anonymous import BURST, REQUEST_COST
from daemon.front.access.keyring import Keyring
from daemon.front.access.scopes import Scope
from daemon.front.push.hub import MAX_ANONYMOUS, MAX_ANONYMOUS_EACH
from daemon.front.push.snapshots import MAX_LINES, PushSnapshot
from daemon.front.push.subscriber import (
    MAX_ANONYMOUS_BYTES,
    MAX_ANONYMOUS_FRAMES,
    MAX_EVENTS,
    SESSION_TIMEOUT,
    STALL_TIMEOUT,
)
from hal.printer import ActionRequested, TemperaturesRead
from support.analyses import InlineWorker
from support.http import NOW, api
from support.job_host import MOVES
from support.push import Listener, listening

FILE = "\n".join(MOVES).encode()
LONG = "\n".join(MOVES * 20).encode()


async def test_a_subscriber_without_a_session_gets_only_a_greeting(tmp_path):
    async with api(tmp_path) as server:
        listener = Listener(server)
        await server.print(FILE)
        assert listener.kinds() == ["connected"]
        assert listener.of("connected")[0]["version"] == "1.11.8"
        listener.say(auth="owner:guess")
        await server.settle(1)
        assert listener.messages[1:] == [{"reauthRequired": {"reason": "stale"}}]


async def test_a_session_gets_the_history_and_then_changes_of_the_state(tmp_path):
    async with api(tmp_path) as server:
        await server.settle(10)
        listener = Listener(server)
        await listener.login()
        assert listener.kinds() == ["connected", "history", "timelapse"]
        history = listener.of("history")[0]
        assert set(history) == {
            "state", "job", "progress", "currentZ", "offsets", "resends", "markings", "busyFiles", "serverTime",
            "temps", "logs", "messages",
        }  # fmt: skip
        assert history["state"]["text"] == "Operational"
        assert history["state"]["flags"]["operational"] is True
        assert history["temps"][0]["tool0"]["target"] == 0
        assert history["job"]["file"]["name"] is None
        await server.settle(10)
        current = listener.of("current")
        assert current, "temperatures change the state"
        assert [report["time"] for each in current for report in each["temps"]]
        assert any("Recv:" in line for each in current for line in each["logs"])


async def test_a_whole_print_sends_octoprints_events(tmp_path):
    async with listening(tmp_path) as (server, listener):
        await server.print(FILE)
        await server.post("/api/job", {"command": "pause", "action": "pause"})
        await server.settle(10)
        await server.post("/api/job", {"command": "pause", "action": "resume"})
        await server.settle(100)
        names = [name for name in listener.events() if name != "PrinterStateChanged"]
        assert names == [
            "FileAdded", "UpdatedFiles", "FileSelected", "PrintStarted", "Upload", "PositionUpdate", "PrintPaused",
            "PrintResumed", "PositionUpdate", "PrintDone",
        ]  # fmt: skip
        states = [each["state_id"] for each in listener.events("PrinterStateChanged")]
        assert states == [
            "STARTING", "PRINTING", "PAUSING", "PAUSED", "RESUMING", "PRINTING", "FINISHING", "OPERATIONAL",
        ]  # fmt: skip
        [done] = listener.events("PrintDone")
        assert (done["name"], done["path"], done["origin"], done["size"]) == ("a.gcode", "a.gcode", "local", len(FILE))
        assert done["time"] > 10
        current = listener.of("current")
        assert current[-1]["progress"]["completion"] == 100.0
        assert [each["progress"]["completion"] for each in current] == sorted(
            each["progress"]["completion"] for each in current
        )


async def test_a_client_s_m114_is_an_event(tmp_path):
    async with listening(tmp_path) as (server, listener):
        await server.post("/api/printer/command", {"commands": ["G28", "G1 X12.5 Y7 Z3 F6000", "M400", "M114"]})
        await server.settle(60)
        *_, position = listener.events("PositionUpdate")  # G28 has one too
        assert (position["x"], position["y"], position["z"], position["reason"]) == (12.5, 7.0, 3.0, None)


async def test_the_event_of_a_pause_has_the_position(tmp_path):
    async with listening(tmp_path) as (server, listener):
        await server.print(b"G28\nG90\nG1 X20 Y30 Z5 F6000\nM0\nG1 X0\n", 60)
        [paused] = listener.events("PrintPaused")
        assert {axis: paused["position"][axis] for axis in "xyz"} == {"x": 20.0, "y": 30.0, "z": 5.0}
        assert paused["name"] == "a.gcode"


async def test_a_cancelled_print_counts_as_failed_too(tmp_path):
    async with listening(tmp_path) as (server, listener):
        await server.print(LONG)
        await server.post("/api/job", {"command": "cancel"})
        await server.settle(30)
        assert listener.events("PrintCancelled")[0]["time"] > 0
        assert listener.events("PrintFailed")[0]["reason"] == "cancelled"
        assert listener.prints() == [
            "PrintStarted", "PrintCancelling", "PrintCancelled", "PrintFailed",
        ]  # fmt: skip


async def test_a_restart_sends_only_the_events_of_the_new_print(tmp_path):
    async with listening(tmp_path) as (server, listener):
        await server.print(LONG)
        await server.post("/api/job", {"command": "pause", "action": "pause"})
        await server.settle(10)
        assert (await server.post("/api/job", {"command": "restart"})).status == 204
        await server.settle(5)
        assert listener.prints() == [
            "PrintStarted", "PrintPaused", "PrintStarted",
        ]  # fmt: skip


CLIMBING = b"""G28
G90
M83
""" + b"".join(
    f"G1 Z{height} F6000\n".encode() + b"G1 X100 E1 F1200\nG1 X50 E1\n" * 12
    for height in (1, 2, 3)
)  # fmt: skip


async def test_changes_of_height_and_homing_are_sent_while_a_file_with_layers_prints(tmp_path):
    async with api(tmp_path, "sim", analysis={"enabled": True}) as server:
        server.service.analyses._run = InlineWorker().run
        await server.settle(5)
        listener = Listener(server)
        await listener.login()
        assert listener.of("history")[0]["currentZ"] is None
        await server.print(CLIMBING, 300)
        assert listener.events().count("PrintDone") == 1
        assert listener.events("Home") == [{}]
        changes = [(each["old"], each["new"]) for each in listener.events("ZChange")]
        assert changes == [(None, 1.0), (1.0, 2.0), (2.0, 3.0)]
        heights = list(dict.fromkeys(each["currentZ"] for each in listener.of("current")))
        assert heights == [None, 1.0, 2.0, 3.0]


async def test_a_new_subscriber_gets_no_past_events(tmp_path):
    async with api(tmp_path) as server:
        await server.print(b"G28\n" + LONG, 30)
        assert server.service.connection.modes.homed
        listener = Listener(server)
        await listener.login()
        await server.settle(5)
        assert not {"Home", "ZChange", "ToolChange"} & {*listener.events()}


async def test_a_tool_change_is_an_event(tmp_path):
    async with listening(tmp_path) as (server, listener):
        motion = server.application.settings["hub"]._motion
        server.service.connection.modes.tool = 1
        motion.update()
        motion.update()
        await server.settle(1)
        assert listener.events("ToolChange") == [{"old": 0, "new": 1}]


async def test_homing_by_a_client_is_an_event(tmp_path):
    async with api(tmp_path) as server:
        await server.settle(5)
        listener = Listener(server)
        await listener.login()
        assert (await server.post("/api/printer/printhead", {"command": "home", "axes": ["x"]})).status == 204
        assert (await server.post("/api/printer/command", {"commands": ["M117 hi", "g28 Z"]})).status == 204
        assert (await server.post("/api/printer/command", {"command": "G280"})).status == 204
        await server.settle(1)
        assert listener.events("Home") == [{}, {}]


async def test_homing_by_a_client_in_a_pause_is_one_event(tmp_path):
    async with listening(tmp_path) as (server, listener):
        await server.print(LONG)
        await server.post("/api/job", {"command": "pause", "action": "pause"})
        await server.settle(10)
        server.service.connection.modes.homed = False
        await server.settle(2)
        listener.clear()
        assert (await server.post("/api/printer/printhead", {"command": "home", "axes": ["x"]})).status == 204
        await server.settle(10)
        assert server.service.connection.modes.homed
        assert listener.events("Home") == [{}]


async def test_the_event_of_a_failed_print_has_the_reason(tmp_path):
    async with listening(tmp_path) as (server, listener):
        await server.upload(("file", "a.gcode", LONG), ("select", b"true"))
        (server.service.files.root / "a.gcode").unlink()
        await server.post("/api/job", {"command": "start"})
        await server.settle(30)
        [failed] = listener.events("PrintFailed")
        assert (failed["reason"], bool(failed["error"])) == ("error", True)


async def test_a_lost_printer_is_an_error_and_comes_back(tmp_path):
    async with listening(tmp_path) as (server, listener):
        server.service.connection.printer._transport.unplug()
        await server.settle(2)
        assert listener.events("Error")[0]["error"]
        assert listener.events("Disconnected") == [{}]
        await server.settle(20)
        assert listener.events("Connecting")
        [again] = listener.events("Connected")
        assert again["port"] == "VIRTUAL"
        assert "Marlin" in listener.events("FirmwareData")[0]["name"]


async def test_the_connected_event_matches_the_connection(tmp_path):
    async with listening(tmp_path, "sim?speed=4") as (server, listener):
        await server.post("/api/connection", {"command": "disconnect"})
        await server.post("/api/connection", {"command": "connect"})
        await server.settle(5)
        current = (await server.get("/api/connection")).json["current"]
        assert listener.events("Connected") == [{"port": current["port"], "baudrate": current["baudrate"]}]
        assert current["port"] == "VIRTUAL"


async def test_a_disconnection_in_a_print_fails_it_and_deselects_its_file(tmp_path):
    kinds = {"Disconnecting", "PrintFailed", "FileDeselected", "Disconnected"}
    async with listening(tmp_path) as (server, listener):
        await server.print(LONG, 2)
        await server.post("/api/connection", {"command": "disconnect"})
        await server.settle(2)
        events = [each["event"] for each in listener.messages if "event" in each and each["event"]["type"] in kinds]
        assert [each["type"] for each in events] == ["Disconnecting", "PrintFailed", "FileDeselected", "Disconnected"]
        failed = events[1]["payload"]
        assert (failed["path"], failed["reason"], failed["error"]) == (
            "a.gcode",
            "error",
            "the printer was disconnected",
        )
        job = (await server.get("/api/job")).json
        assert job["state"] == "Offline"
        assert not any(job["job"]["file"].values())
        assert not any(job["progress"].values())


async def test_added_and_removed_files_are_events(tmp_path):
    async with listening(tmp_path, "") as (server, listener):
        await server.upload(("file", "a.gcode", FILE))
        await server.upload(("foldername", b"box"))
        await server.post("/api/files/local/a.gcode", {"command": "copy", "destination": "box"})
        await server.post("/api/files/local/a.gcode", {"command": "move", "destination": "b.gcode"})
        await server.delete("/api/files/local/b.gcode")
        await server.delete("/api/files/local/box")
        await server.settle(1)
        names = [name for name in listener.events() if name != "UpdatedFiles"]
        assert names == ["FileAdded", "Upload", "FolderAdded", "FileAdded", "FileMoved", "FileRemoved", "FolderRemoved"]
        assert len(listener.events("UpdatedFiles")) == 6


async def test_the_state_is_sent_at_most_twice_a_second_or_less_on_request(tmp_path):
    async with api(tmp_path) as server:
        listener, slow = Listener(server), Listener(server)
        await listener.login()
        slow.say(throttle=20)
        await slow.login()
        for _ in range(100):
            server.service.events.publish("Nothing", {})
            await asyncio.sleep(0.1)
        assert 15 <= len(listener.of("current")) <= 21
        assert len(slow.of("current")) <= 2
        for nonsense in (0, -1, "2", True, 10**9, None, [1]):
            slow.say(throttle=nonsense)
        assert slow.subscriber._interval == 10.0


@pytest.mark.parametrize("text", ["", "{", "[]", "5", '"auth"', '{"auth": 5}', '{"subscribe": 1}', "[" * 50_000, "{}"])
async def test_invalid_messages_are_ignored(tmp_path, text):
    async with api(tmp_path, "") as server:
        listener = Listener(server)
        listener.subscriber.receive(text)
        await listener.login()
        assert listener.kinds() == ["connected", "history", "timelapse"]


async def test_a_client_gets_only_its_subscriptions(tmp_path):
    async with api(tmp_path) as server:
        events, quiet, logs = Listener(server), Listener(server), Listener(server)
        for each, subscription in (
            (events, {"state": False, "events": ["Wanted"], "plugins": False}),
            (quiet, {"state": {"logs": False, "messages": False}, "events": False, "plugins": ["wanted"]}),
            (logs, {"state": {"logs": "^Recv: (a+)+$"}, "events": True, "plugins": True}),
        ):
            each.say(subscribe=subscription)
            await each.login()
            each.clear()
        server.service.events.publish("Wanted", {"a": 1})
        server.service.events.publish("Unwanted", {})
        server.service.events.publish_plugin("wanted", {"b": 2})
        server.service.events.publish_plugin("unwanted", {})
        await server.settle(10)
        assert events.messages == [{"event": {"type": "Wanted", "payload": {"a": 1}}}]
        assert quiet.of("event") == []
        assert quiet.of("plugin") == [{"plugin": "wanted", "data": {"b": 2}}]
        assert quiet.of("current")
        assert all(each["logs"] == [] for each in quiet.of("current"))
        assert logs.events() == ["Wanted", "Unwanted"]
        assert any(each["logs"] for each in logs.of("current"))


async def test_a_slow_reader_gets_the_newest_state_and_a_bounded_queue(tmp_path):
    async with api(tmp_path) as server:
        listener, awake = Listener(server), Listener(server)
        await listener.login()
        await awake.login()
        listener.gate.clear()
        await server.upload(("file", "a.gcode", FILE), ("print", b"true"))
        for number in range(MAX_EVENTS * 2):
            server.service.events.publish("Many", {"number": number})
        await server.settle(STALL_TIMEOUT - 10)
        assert len(listener.subscriber._waiting) == MAX_EVENTS
        listener.clear()
        listener.gate.set()
        await server.settle(1)
        current = listener.of("current")
        states = [each["state"]["text"] for each in current]
        assert len(states) <= 6, "each state once, and the newest"
        assert "Finishing" in states
        assert current[-1]["state"]["text"] == "Operational"
        assert current[-1]["progress"]["completion"] == 100.0
        assert listener.events("Many")[-1] == {"number": MAX_EVENTS * 2 - 1}
        assert len(listener.messages) <= MAX_EVENTS + 10
        assert len(awake.events("Many")) >= MAX_EVENTS  # other subscribers were not delayed
        assert awake.events("PrintDone")


async def test_a_stalled_reader_is_dropped(tmp_path):
    async with listening(tmp_path) as (server, listener):
        listener.gate.clear()
        await server.settle(STALL_TIMEOUT * 2)
        assert listener.closed
        assert server.application.settings["hub"]._subscribers == {}


async def test_a_connection_without_a_session_is_closed_after_a_while(tmp_path):
    async with api(tmp_path) as server:
        stranger, known = Listener(server), Listener(server)
        await known.login()
        await server.settle(SESSION_TIMEOUT + 1)
        assert (stranger.closed, known.closed) == (True, False)


async def test_an_anonymous_connection_may_send_only_a_few_messages(tmp_path):
    async with api(tmp_path) as server:
        talker, patient = Listener(server), Listener(server)
        for _ in range(MAX_ANONYMOUS_FRAMES):
            assert talker.subscriber.admits(10)
            talker.say(auth="a:b")
        assert not talker.closed
        assert not talker.subscriber.admits(10)
        assert talker.closed
        assert not patient.subscriber.admits(MAX_ANONYMOUS_BYTES + 1)
        known = Listener(server)
        await known.login()
        assert all(known.subscriber.admits(MAX_ANONYMOUS_BYTES) for _ in range(10 * MAX_ANONYMOUS_FRAMES))


async def test_anonymous_connections_are_limited_and_new_ones_replace_the_oldest(tmp_path):
    async with api(tmp_path) as server:
        hub = server.application.settings["hub"]
        owner = Listener(server, client="2001:db8::1")
        await owner.login()
        household = [Listener(server, client="2001:db8::1") for _ in range(MAX_ANONYMOUS_EACH)]
        others = [Listener(server, client=f"192.0.2.{number}") for number in range(MAX_ANONYMOUS - MAX_ANONYMOUS_EACH)]
        assert hub.make_room_for("2001:db8::2")  # a household has one share
        await server.settle(0.1)
        assert [each.closed for each in household] == [True] + [False] * (MAX_ANONYMOUS_EACH - 1)
        Listener(server, client="2001:db8::2")
        assert hub.make_room_for("192.0.2.200")
        await server.settle(0.1)
        assert household[1].closed
        assert not any(each.closed for each in others)
        assert not owner.closed


async def test_only_connections_without_a_session_use_up_the_anonymous_budget(tmp_path):
    async with api(tmp_path) as server:
        access = server.service.front.access
        for _ in range(2 * int(BURST)):
            assert access.spend_anonymous("192.0.2.1", REQUEST_COST)
            listener = Listener(server, client="192.0.2.1")
            await listener.login()
            listener.subscriber.end()
        assert not all(access.spend_anonymous("192.0.2.1", REQUEST_COST) for _ in range(int(BURST) + 1))
        assert access.has_overspent("192.0.2.1")


async def test_log_lines_in_one_message_are_bounded(tmp_path):
    async with api(tmp_path, "sim") as server:
        listener = Listener(server)
        listener.say(throttle=3600)
        await listener.login()
        await server.print(LONG, 100)
        listener.subscriber._due = 0.0
        listener.subscriber._wake_up()
        await server.settle(1)
        assert all(len(each["logs"]) <= MAX_LINES for each in listener.of("current"))
        assert any(len(each["logs"]) > 50 for each in listener.of("current"))


async def test_a_revoked_key_or_a_logout_ends_the_messages(tmp_path):
    ring = Keyring(tmp_path, lambda: NOW)
    key = ring.add("phone", Scope.READ)
    async with api(tmp_path) as server:
        phone, first = Listener(server), Listener(server)
        await phone.login(key=key)
        await first.login()
        ring.revoke("phone")
        await server.settle(10)
        assert phone.messages[-1] == {"reauthRequired": {"reason": "removed"}}
        await server.post("/api/logout", {})
        await server.settle(10)
        assert first.messages[-1] == {"reauthRequired": {"reason": "logout"}}
        for each in (phone, first):
            each.clear()
        server.service.events.publish("Secret", {})
        await server.settle(10)
        assert (phone.messages, first.messages) == ([], [])
        await first.login()
        assert first.kinds() == ["history", "timelapse"]


async def test_a_key_request_of_an_app_is_sent_to_every_page(tmp_path):
    async with listening(tmp_path, "") as (server, listener):
        await server.post("/plugin/appkeys/request", {"app": "<b>x</b>"}, key=None, headers={"Host": "localhost"})
        await server.settle(0.1)
        [request] = listener.of("plugin")
        assert (request["plugin"], request["data"]["type"], request["data"]["app_name"]) == (
            "appkeys", "request_access", "<b>x</b>",
        )  # fmt: skip
        await server.post(f"/plugin/appkeys/decision/{request['data']['user_token']}", {"decision": False})
        await server.settle(0.1)
        assert listener.of("plugin")[1]["data"]["type"] == "end_request"


# -- the printer's panel -----------------------------------------------------------------------------------


def panel_says(server, *lines):
    """Have the firmware say something unasked."""
    server.service.connection.printer._pump.on_data(b"".join(line.encode() + b"\n" for line in lines))


QUESTION = ("//action:prompt_begin Filament runout", "//action:prompt_button Continue", "//action:prompt_choice Purge")


async def test_messages_for_the_panel_are_sent_as_octoprint_does(tmp_path):
    async with listening(tmp_path) as (server, listener):
        assert "panel" not in (await server.get("/api/printer")).json
        assert (await server.get("/api/plugin/action_command_notification")).json == {"notifications": []}
        panel_says(server, "//action:notification <img src=x onerror=alert(1)>")
        await server.settle(0.1)
        message = "<img src=x onerror=alert(1)>"
        assert listener.of("plugin") == [{"plugin": "action_command_notification", "data": {"message": message}}]
        assert (await server.get("/api/printer")).json["panel"] == {"message": message}
        notifications = (await server.get("/api/plugin/action_command_notification")).json["notifications"]
        assert notifications == [{"timestamp": NOW, "message": message}]


async def test_a_prompt_is_sent_and_its_answer_reaches_the_firmware(tmp_path):
    async with listening(tmp_path) as (server, listener):
        assert (
            await server.post("/api/plugin/action_command_prompt", {"command": "select", "choice": 0})
        ).status == 409
        panel_says(server, *QUESTION)
        assert (await server.get("/api/plugin/action_command_prompt")).json == {}
        panel_says(server, "//action:prompt_show")
        prompt = {"text": "Filament runout", "choices": ["Continue", "Purge"]}
        assert (await server.get("/api/plugin/action_command_prompt")).json == prompt
        assert (await server.get("/api/printer")).json["panel"]["prompt"] == prompt
        for choice in (2, -1, "0", True, None, 0.0):
            answer = await server.post("/api/plugin/action_command_prompt", {"command": "select", "choice": choice})
            assert answer.status == 400
        old, now = ({"command": "select", "choice": 1, "prompt": text} for text in ("Filament jam", prompt["text"]))
        assert (await server.post("/api/plugin/action_command_prompt", old)).status == 409, "it asks something else"
        assert (await server.post("/api/plugin/action_command_prompt", now)).status == 204
        await server.settle(1)
        assert any("M876 S1" in line for line in server.service.connection.printer.flight_recorder.tail())
        assert (await server.get("/api/plugin/action_command_prompt")).json == {}
        shown = [each["data"] for each in listener.of("plugin") if each["plugin"] == "action_command_prompt"]
        assert shown == [{"action": "show", **prompt}, {"action": "close"}]


async def test_a_printer_waiting_for_its_user_continues_after_the_answer(tmp_path):
    async with api(tmp_path, "sim?firmware=marlin-advok") as server:
        await server.post("/api/printer/command", {"commands": ["M0 Change filament", "M117 later"]})
        await server.settle(20)
        answer = (await server.get("/api/plugin/action_command_prompt")).json
        assert answer == {"text": "M0 Stop", "choices": ["Continue"]}
        assert not server.service.connection.printer.idle
        await server.post("/api/plugin/action_command_prompt", {"command": "select", "choice": 0})
        await server.settle(5)
        assert server.service.connection.printer.idle
        assert (await server.get("/api/plugin/action_command_prompt")).json == {}


async def test_nothing_is_scheduled_without_subscribers(tmp_path):
    async with api(tmp_path) as server:
        hub = server.application.settings["hub"]
        listener = Listener(server)
        await listener.login()
        await server.print(LONG)
        assert hub._tick_timer is not None
        listener.subscriber.end()
        await server.settle(5)
        assert hub._tick_timer is None
        hub._on_printer(TemperaturesRead({}))
        hub._on_printer(ActionRequested("pause", ""))
        assert json.loads(json.dumps(await hub.current()))["state"]["text"] == "Printing"


async def test_many_subscribers_cost_the_questions_and_the_encoding_of_one(tmp_path, monkeypatch):
    async with api(tmp_path) as server:
        listeners = [Listener(server, f"192.0.2.{number}") for number in range(20)]
        for listener in listeners:
            await listener.login()
        *alike, slow, quiet = listeners
        slow.say(throttle=4)
        quiet.say(subscribe={"state": {"logs": False}, "events": False, "plugins": False})
        await server.print(LONG)
        questions, looks = [], []
        channel, look = server.service.front.jobs._channel, PushSnapshot.__init__
        ask = channel.ask

        async def counted(question):
            questions.append(question)
            return await ask(question)

        def init(self, *arguments):
            looks.append(self)
            look(self, *arguments)

        async def refresh_nothing() -> None:
            """Do nothing: reading the file of keys waits for a thread, in real time, and moves the virtual clock."""

        monkeypatch.setattr(channel, "ask", counted)
        monkeypatch.setattr(PushSnapshot, "__init__", init)
        monkeypatch.setattr(server.service.access, "refresh", refresh_nothing)
        for listener in listeners:
            listener.clear()
        await server.settle(20)
        current = alike[0].of("current")
        assert len(current) >= 15
        assert all(each.of("current") == current for each in alike)
        assert len(looks) <= 2 * len(current)
        assert len(questions) <= len(looks) + 20 / 2  # how earlier prints went is asked for every 2 s
        lines = [line for each in current for line in each["logs"]]
        assert lines
        assert len(slow.of("current")) < len(current)
        late = [line for each in slow.of("current") for line in each["logs"]]
        at = lines.index(late[-1])
        assert lines[: at + 1] == late[-at - 1 :]
        assert quiet.of("current")
        assert not any(each["logs"] for each in quiet.of("current"))


async def test_a_subscriber_leaving_during_an_update_does_not_affect_the_others(tmp_path, monkeypatch):
    async with api(tmp_path) as server:
        gone, stays = Listener(server), Listener(server)
        await gone.login()
        await stays.login()
        hub, began = server.application.settings["hub"], asyncio.Event()
        current = hub.current

        async def slow():
            began.set()
            await asyncio.sleep(0.2)
            return await current()

        monkeypatch.setattr(hub, "current", slow)
        stays.clear()
        await began.wait()
        gone.subscriber.end()
        await server.settle(1)
        assert stays.of("current")


def ends_in_order(listener) -> int:
    """Count the ended prints; none may be reported as printing afterwards."""
    is_printing, ends = False, 0
    for message in listener.messages:
        event = message.get("event", {}).get("type")
        if event == "PrintStarted":
            is_printing = True
        elif event in ("PrintDone", "PrintFailed"):
            is_printing, ends = False, ends + 1
        elif "current" in message and message["current"]["state"]["flags"]["printing"]:
            assert is_printing
    return ends


@pytest.mark.parametrize("cancelled", [False, True])
async def test_no_printing_state_follows_the_event_that_ends_a_print(tmp_path, cancelled):
    async with api(tmp_path) as server:
        listeners = [Listener(server), Listener(server), Listener(server)]
        for listener in listeners:
            await listener.login()
        listeners[1].say(throttle=20)
        listeners[2].say(throttle=240)
        await server.upload(("file", "a.gcode", LONG if cancelled else b"M117 x\n"))
        for _ in range(3):  # each shorter than the time between two messages
            await server.post("/api/files/local/a.gcode", {"command": "select", "print": True})
            while server.service.jobs.active:
                if cancelled and server.service.jobs.state is JobState.PRINTING:
                    await server.post("/api/job", {"command": "cancel"})
                await asyncio.sleep(0.01)
        await server.settle(30)
        assert [ends_in_order(each) for each in listeners] == [3, 3, 3]


async def test_every_state_is_sent_to_all_however_short(tmp_path):
    slow = {"after_finish": ("G4 S3",)}
    async with api(tmp_path, scripts=slow) as server:
        listener, rare = Listener(server), Listener(server)
        await listener.login()
        await rare.login()
        rare.say(throttle=60)
        await server.print(FILE, 60)
        for each in (listener, rare):
            states = [current["state"] for current in each.of("current")]
            texts = [state["text"] for state in states]
            met = [text for before, text in zip(["", *texts], texts, strict=False) if text != before]
            assert met[-4:] == ["Starting", "Printing", "Finishing", "Operational"]
            ends = [state["flags"] for state in states if state["text"] == "Finishing"]
            assert ends
            assert not any(flags["printing"] for flags in ends), "a client that counts prints by this flag counts one"
            assert all(flags["finishing"] for flags in ends)
        assert [each["state"]["text"] for each in rare.of("current")].count("Finishing") == 1


async def test_a_past_state_is_sent_with_its_own_file(tmp_path):
    async with listening(tmp_path) as (server, listener):
        listener.say(throttle=240)
        for name in ("a.gcode", "b.gcode"):
            await server.upload(("file", name, FILE), ("print", b"true"))
            await server.settle(50)
        await server.settle(120)
        states = [(each["state"]["text"], each["job"]["file"]["name"]) for each in listener.of("current")]
        for name in ("a.gcode", "b.gcode"):
            assert [text for text, file in states if file == name][:4] == [
                "Starting",
                "Printing",
                "Finishing",
                "Operational",
            ]
        ends = [each["progress"] for each in listener.of("current") if each["state"]["text"] == "Finishing"]
        assert [end["completion"] > 90 for end in ends] == [True, True]


async def test_a_print_counts_as_printing_until_its_last_move_is_done(tmp_path):
    async with listening(tmp_path) as (server, listener):
        moves = b"G28\nM83\n" + b"G1 X100 F600\nG1 X0 F600\n" * 2  # 40 s; the printer has taken all long before
        await server.print(moves, 30)
        assert (await server.get("/api/job")).json["state"] == "Printing"
        await server.settle(60)
        texts = [current["state"]["text"] for current in listener.of("current")]
        assert texts.count("Finishing") == 1


async def test_the_flags_during_a_cancel_are_those_of_one_print(tmp_path):
    async with api(tmp_path, scripts={"after_cancel": ("G4 S5",)}) as server:
        await server.print(FILE * 20, 2)
        await server.post("/api/job", {"command": "cancel"})
        await server.settle(1)
        state = (await server.get("/api/printer")).json["state"]
        assert (state["text"], state["flags"]["cancelling"], state["flags"]["printing"]) == ("Cancelling", True, False)
