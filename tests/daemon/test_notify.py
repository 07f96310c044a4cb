"""The companion `notify` beside the whole service: notifications of a print, and reports to Spoolman."""

import asyncio
import hashlib
import hmac
import json

import pytest

from daemon.client.errors import RequestRefused
from daemon.companions.notify.notices import UserNotice
from support.analyses import analysing, until_analysed, upload
from support.client import in_memory
from support.fake_spoolman import FakeSpoolman
from support.http import api
from support.notify import KEY, TARGETS, FakeInternet, notifying
from support.waiting import until

LINES = b"G28\nG1 X10 F600\n" + b"G1 X20\nG1 X10\n" * 20
MUCH = (
    b"M104 S200\nM302 P1\nG28\nM83\nG1 X50 Y50 Z.3 F6000\n;LAYER:0\n"
    + b"G1 X100 E80 F1500\nG1 X50 E60\n" * 30
    + b"M104 S0\n"
)


async def print_it(server, content=LINES, name="a.gcode", wait=True):
    await server.upload(("file", name, content), ("print", b"true"))
    if wait:
        await until(lambda: server.service.jobs.state is not None and server.service.jobs.state.ended)
        await asyncio.sleep(30)


async def test_a_finished_print_is_reported_once_despite_restarts(tmp_path):
    internet = FakeInternet()
    async with api(tmp_path, switched_on=["notify"]) as server:
        async with notifying(server, internet):
            await print_it(server)
        async with notifying(server, internet):
            await asyncio.sleep(60)
    async with api(tmp_path, switched_on=["notify"]) as server, notifying(server, internet):
        await asyncio.sleep(60)
    [delivery] = internet.deliveries
    assert (delivery["kind"], delivery["title"]) == ("done", "a.gcode is done")
    assert delivery["body"].startswith("It took ")
    headers, body = internet.headers[-1], internet.bodies[-1]
    signed = headers["Nozzled-Date"].encode() + b"." + body
    assert headers["Nozzled-Signature"] == "sha256=" + hmac.new(KEY.encode(), signed, hashlib.sha256).hexdigest()
    assert headers["Nozzled-Delivery"] == delivery["id"]


@pytest.mark.nightly
async def test_prints_that_ended_unnoticed_are_reported_later(tmp_path):
    internet = FakeInternet()
    async with api(tmp_path, switched_on=["notify"]) as server:
        await print_it(server, name="old.gcode")
        async with notifying(server, internet):
            await asyncio.sleep(60)
        assert internet.deliveries == []
        await print_it(server, name="missed.gcode")
        async with notifying(server, internet):
            await asyncio.sleep(60)
        assert [each["title"] for each in internet.deliveries] == ["missed.gcode is done"]


async def test_the_history_is_read_only_when_it_may_have_changed(tmp_path):
    internet = FakeInternet()
    async with api(tmp_path, switched_on=["notify", "power"]) as server, notifying(server, internet) as companion:
        await print_it(server)
        await asyncio.sleep(120)
        reads, read = [], companion.client.get

        async def counting(path, *rest, **named):
            reads.append(path)
            return await read(path, *rest, **named)

        companion.client.get = counting
        for degrees in range(6):
            answer = await server.post("/api/companions/power", {"state": {"waits": f"tool0 is at {60 - degrees} °C"}})
            assert answer.status == 204
            await asyncio.sleep(5)
        assert [path for path in reads if path.startswith("/api/history")] == []
        await print_it(server, name="next.gcode")
        await asyncio.sleep(60)
    assert [each["title"] for each in internet.deliveries] == ["a.gcode is done", "next.gcode is done"]


@pytest.mark.nightly
async def test_a_webhook_is_retried_with_the_same_id(tmp_path):
    internet = FakeInternet()
    internet.outcomes = [503, "away", "hangs"]
    async with api(tmp_path, switched_on=["notify"]) as server, notifying(server, internet) as companion:
        await print_it(server)
        await asyncio.sleep(200)
        state = (await in_memory(server).companions.get("notify"))["state"]
        assert state["results"][0]["text"] == "given up after 3 attempts: it took longer than 40 s"
        assert internet.deliveries == []
        await print_it(server, name="b.gcode")
        assert companion.describe_activity() == "sends to hook; hook: sent"
    assert len({each["Nozzled-Delivery"] for each in internet.headers}) == 2


async def test_a_pause_of_the_file_is_reported_and_a_cancel_is_not(tmp_path):
    internet = FakeInternet()
    async with api(tmp_path, switched_on=["notify"]) as server, notifying(server, internet):
        await print_it(server, b"G28\nM0 change the colour\n" + LINES, wait=False)
        await until(lambda: internet.deliveries)
        await server.post("/api/job", {"command": "cancel"})
        await asyncio.sleep(120)
    [delivery] = internet.deliveries
    assert (delivery["kind"], delivery["title"]) == ("paused", "a.gcode is paused")
    assert "change the colour" in delivery["body"]


@pytest.mark.nightly
async def test_the_bed_is_reported_and_classes_can_be_switched_off(tmp_path):
    internet = FakeInternet()
    async with api(tmp_path, switched_on=["notify"]) as server, notifying(server, internet):
        client = in_memory(server)
        await client.companions.ask("notify", "choose", {"classes": {"done": False}})
        await server.upload(("file", "q.gcode", LINES))
        await print_it(server)
        await client.queue.add("q.gcode")
        await asyncio.sleep(30)
        assert internet.kinds() == ["bed"]
        with pytest.raises(RequestRefused) as caught:
            await client.companions.ask("notify", "choose", {"classes": {"nothing": False}})
        assert caught.value.status == 400
    async with api(tmp_path, switched_on=["notify"]) as server, notifying(server, internet):
        assert not (await in_memory(server).companions.get("notify"))["state"]["classes"]["done"]


async def test_two_choices_at_once_both_count(tmp_path):
    async with api(tmp_path, switched_on=["notify"]) as server, notifying(server, FakeInternet()) as companion:
        await asyncio.sleep(1)
        await asyncio.gather(*(companion._choose({name: False}) for name in ("done", "disk")))
        assert {"done", "disk"} <= companion._muted_classes
        assert {"done", "disk"} <= set(json.loads((companion.folder / "choices.json").read_text())["mute"])


async def test_a_test_message_has_a_result_without_addresses(tmp_path):
    internet = FakeInternet()
    internet.outcomes = [401]
    async with api(tmp_path, switched_on=["notify"]) as server, notifying(server, internet):
        client = in_memory(server)
        answer = await client.companions.ask("notify", "test")
        assert [each["text"] for each in answer["results"]] == ["401; trying again"]
        with pytest.raises(RequestRefused) as caught:
            await client.companions.ask("notify", "test", {"target": "nobody"})
        assert caught.value.status == 404
        everything = json.dumps([await client.get("/api/companions"), await client.get("/api/settings")])
        assert "hook.example" not in everything
        assert KEY not in everything


async def test_a_mistake_in_the_targets_at_a_start_loses_no_message(tmp_path):
    internet = FakeInternet()
    internet.outcomes = [503]
    async with api(tmp_path, switched_on=["notify"]) as server:
        async with notifying(server, internet) as companion:
            companion._add(UserNotice("disk", "disk", "disk", {"free": 1.0}))
            await asyncio.sleep(1)
        async with notifying(server, internet, targets="hook\n") as companion:
            await asyncio.sleep(60)
            assert "one URL" in companion._problem
            (tmp_path / "companions/notify/targets").write_text(TARGETS)
            await asyncio.sleep(60)
        assert internet.kinds() == ["disk"]


async def test_a_message_held_back_when_the_companion_ends_outlasts_a_mistake_in_the_targets(tmp_path):
    internet = FakeInternet()
    async with api(tmp_path, switched_on=["notify"]) as server:
        async with notifying(server, internet) as companion:
            for number in (1, 2):  # the second of its class must wait for a minute
                companion._add(UserNotice("disk", f"disk {number}", "disk", {"free": 1.0}))
            await asyncio.sleep(1)
        assert internet.kinds() == ["disk"]
        async with notifying(server, internet, targets="hook\n"):
            await asyncio.sleep(120)
            (tmp_path / "companions/notify/targets").write_text(TARGETS)
            await asyncio.sleep(60)
        assert internet.kinds() == ["disk", "disk"]


async def test_missing_targets_are_reported_with_the_remedy(tmp_path):
    async with api(tmp_path, switched_on=["notify"]) as server, notifying(server, FakeInternet(), targets="# none\n"):
        state = (await in_memory(server).companions.get("notify"))["state"]
        assert "no targets yet" in state["problem"]


async def test_a_print_is_reported_to_spoolman_during_it_and_at_its_end(tmp_path):
    spoolman = FakeSpoolman(3)
    internet = FakeInternet(spoolman)
    async with (
        analysing(tmp_path, switched_on=["notify"]) as server,
        notifying(server, internet, spoolman="http://spoolman.example"),
    ):
        client = in_memory(server)
        await upload(server, MUCH)
        planned = (await until_analysed(server))["gcodeAnalysis"]["filament"]["tool0"]["length"]
        assert [each["id"] for each in (await client.companions.ask("notify", "spools"))["spools"]] == [3]
        await client.companions.ask("notify", "spool", {"tool": 0, "spool": 3})
        spoolman.outcomes = ["well", "late", "error"]
        await server.post("/api/files/local/a.gcode", {"command": "select", "print": True})
        await until(lambda: server.service.jobs.state.ended)
        during = len(spoolman.uses)
        await asyncio.sleep(200)
        assert during >= 2
        assert spoolman.length(3) == pytest.approx(planned, abs=1)
        [job] = (await client.get("/api/history"))["jobs"]
        assert job["filamentLength"] == pytest.approx(planned, abs=1)
        assert internet.deliveries[0]["body"].endswith("Filament: 4.2 m.")


async def test_a_spool_with_too_little_filament_is_a_warning_of_the_file(tmp_path):
    spoolman = FakeSpoolman(3, weight=10.0)
    spoolman.material = "PETG"
    async with (
        analysing(tmp_path, switched_on=["notify"]) as server,
        notifying(server, FakeInternet(spoolman), spoolman="http://spoolman.example"),
    ):
        await in_memory(server).companions.ask("notify", "spool", {"tool": 0, "spool": 3})
        await upload(server, MUCH)
        await asyncio.sleep(1)
        warnings = (await until_analysed(server))["gcodeAnalysis"]["warnings"]
        assert "T0 needs 4.2 m, but spool 3 (Galaxy Black) has 3.4 m left" in warnings


@pytest.mark.nightly
async def test_a_missing_spoolman_is_reported_and_does_not_affect_the_print(tmp_path):
    spoolman = FakeSpoolman(3)
    async with (
        analysing(tmp_path, switched_on=["notify"]) as server,
        notifying(server, FakeInternet(spoolman), spoolman="http://spoolman.example"),
    ):
        client = in_memory(server)
        await client.companions.ask("notify", "spool", {"tool": 0, "spool": 3})
        spoolman.read_outcomes = ["hangs"] * 100
        await upload(server, MUCH, print="true")
        await until(lambda: server.service.jobs.state is not None and server.service.jobs.state.ended)
        state = (await client.companions.get("notify"))["state"]["spoolman"]
        assert state["away"]
        assert state["owed"] > 0
        spoolman.read_outcomes.clear()
        await asyncio.sleep(200)
        state = (await client.companions.get("notify"))["state"]["spoolman"]
        assert (state["away"], state["owed"]) == (None, 0)
        assert spoolman.length(3) == pytest.approx(4200, abs=1)
