"""Companions beside core and front: their state, requests to them, and time limits for one that does not answer."""

import asyncio
from pathlib import Path

import pytest

from daemon.cli.companion_process import own_folder
from daemon.client.errors import AccessDenied, NotFound, RequestRefused
from daemon.companions.companion import Answer, Companion, Refusal
from daemon.config.sections import describe_switched_off
from daemon.errors import CompanionAway
from daemon.front.access.companion_keys import create_keys, key_path
from daemon.front.companions import AWAY_TIMEOUT, POLL_TIMEOUT, Companions
from daemon.http.errors import Refused
from support.client import in_memory
from support.companions import companion_key, running
from support.http import api
from support.push import Listener

KEYS = {"power": "control", "timelapse": "read"}


def beside(server, cls, name="power"):
    """Run a companion of this class beside the service."""
    return running(cls(in_memory(server, companion_key(server, name)), server.service.folder))


class Switch(Companion):
    """Has one switch; refuses, hangs or breaks on request."""

    name = "power"
    is_on = False

    async def handle(self, do, arguments, scope):
        if do == "on":
            self.is_on = True
            self.report_state({"on": True, "by": scope})
            self.send_event("PowerCut", {"on": True})
            self.send_plugin_message("psucontrol", {"isPSUOn": True})
            return Answer(200, {"was": arguments})
        if do == "hang":
            await asyncio.sleep(1000)
        if do == "break":
            raise ZeroDivisionError
        raise Refusal(409, "not now")


async def test_a_request_reaches_the_companion_and_its_answer_the_client(tmp_path):
    async with api(tmp_path, "", switched_on=["power"]) as server, beside(server, Switch) as switch:
        client = in_memory(server)
        await asyncio.sleep(1)
        assert await client.companions.ask("power", "on", {"device": "printer"}) == {"was": {"device": "printer"}}
        assert switch.is_on
        await asyncio.sleep(1)
        assert await client.companions.get("power") == {"away": False, "state": {"on": True, "by": "admin"}}
        with pytest.raises(RequestRefused) as caught:
            await client.companions.ask("power", "off")
        assert (caught.value.status, caught.value.text) == (409, "not now")
        with pytest.raises(RequestRefused) as caught:
            await client.companions.ask("power", "break")
        assert caught.value.status == 500


async def test_a_hanging_request_delays_no_other_and_ends(tmp_path):
    async with api(tmp_path, "", switched_on=["power"]) as server, beside(server, Switch):
        client = in_memory(server)
        await asyncio.sleep(1)
        hanging = asyncio.create_task(client.companions.ask("power", "hang"))
        await asyncio.sleep(0.5)
        assert await client.companions.ask("power", "on") == {"was": {}}
        with pytest.raises(RequestRefused) as caught:
            await hanging
        assert (caught.value.status, caught.value.text) == (503, "the companion power has not answered within 10 s")


async def test_a_request_of_a_disconnected_client_is_not_carried_out(tmp_path):
    """A process that was stopped meanwhile has the request already: it would switch during the next print."""
    async with api(tmp_path, "", switched_on=["power"]) as server:
        client = in_memory(server)
        own = in_memory(server, companion_key(server, "power"))
        fetching = asyncio.create_task(own.get("/api/companions/power/requests"))
        await asyncio.sleep(1)
        asking = asyncio.create_task(client.companions.ask("power", "on"))
        request = (await fetching)["requests"][0]
        await own.post("/api/companions/power/requests", {"id": request["id"]})
        with pytest.raises(RequestRefused):
            await asking  # given up after 10 s
        hung = Switch(own, tmp_path)
        await hung._answer(request)
        assert not hung.is_on
        with pytest.raises(RequestRefused) as caught:
            await own.post("/api/companions/power/requests", {"id": request["id"]})
        assert (caught.value.status, caught.value.text) == (409, "no client waits for this request")
        with pytest.raises(RequestRefused):
            await in_memory(server).post("/api/companions/power/requests", {"id": "7"})


async def test_request_numbers_of_two_fronts_differ():
    first, second = Companions(["power"]), Companions(["power"])
    assert next(first._numbers) != next(second._numbers)


async def test_clients_get_events_of_a_companion_and_pages_its_state(tmp_path):
    async with api(tmp_path, "", switched_on=["power"]) as server:
        listener = Listener(server)
        await listener.login()
        async with beside(server, Switch):
            await asyncio.sleep(1)
            await in_memory(server).companions.ask("power", "on")
            await asyncio.sleep(1)
        assert listener.events("PowerCut") == [{"on": True}]
        assert {"plugin": "psucontrol", "data": {"isPSUOn": True}} in listener.of("plugin")
        state = {"on": True, "by": "admin"}
        assert server.service.companions.as_json() == {"power": {"state": state, "away": False}}


async def test_requests_to_a_missing_companion_are_refused_at_once(tmp_path):
    async with api(tmp_path, "", switched_on=["power"]) as server:
        client, loop = in_memory(server), asyncio.get_running_loop()
        changes = []
        server.service.companions.on_change(lambda: changes.append(loop.time()))
        with pytest.raises(RequestRefused, match="systemctl enable --now nozzled-power"):
            await client.companions.ask("power", "on")
        async with beside(server, Switch):
            await asyncio.sleep(AWAY_TIMEOUT + 2 * POLL_TIMEOUT)  # it asks again and again, with nothing to do
            assert not server.service.companions.is_away("power")
        changes.clear()
        await asyncio.sleep(POLL_TIMEOUT + AWAY_TIMEOUT + 1)
        assert server.service.companions.is_away("power")
        assert changes
        began = loop.time()
        with pytest.raises(RequestRefused):
            await client.companions.ask("power", "on")
        assert loop.time() - began < 5  # only the client's own attempts


async def test_undelivered_states_and_events_are_sent_again(tmp_path):
    async with api(tmp_path, "", switched_on=["power"]) as server, beside(server, Switch) as switch:
        store_report = server.service.companions.store_report

        def away(*_):
            raise Refused(503, "")

        server.service.companions.store_report = away
        switch.report_state({"on": True})
        switch.send_event("PowerCut", {"on": True})
        listener = Listener(server)
        await listener.login()
        await asyncio.sleep(10)
        server.service.companions.store_report = store_report
        await asyncio.sleep(10)
        assert server.service.companions.state("power") == {"on": True}
        assert listener.events("PowerCut") == [{"on": True}]


async def test_a_repeated_event_is_published_once(tmp_path):
    """The front may have accepted it although its answer was lost."""
    async with api(tmp_path, "", switched_on=["power"]) as server:
        listener = Listener(server)
        await listener.login()
        report = {"events": [{"name": "PowerCut", "payload": {"n": n}, "once": f"a-{n}"} for n in (1, 2)]}
        await server.post("/api/companions/power", report)
        report["events"].append({"name": "PowerCut", "payload": {"n": 3}, "once": "a-3"})
        await server.post("/api/companions/power", report)
        await asyncio.sleep(1)
        assert [each["n"] for each in listener.events("PowerCut")] == [1, 2, 3]


async def test_the_oldest_undelivered_events_are_dropped(tmp_path):
    async with api(tmp_path, "", switched_on=["power"]) as server, beside(server, Switch) as switch:
        listener = Listener(server)
        await listener.login()
        await asyncio.sleep(1)

        def away(*_):
            raise Refused(503, "")

        store_report, server.service.companions.store_report = server.service.companions.store_report, away
        for n in range(40):
            switch.send_event("PowerCut", {"n": n})
        await asyncio.sleep(1)  # they are on their way, in vain
        for n in range(40, 120):
            switch.send_event("PowerCut", {"n": n})
        await asyncio.sleep(10)
        server.service.companions.store_report = store_report
        await asyncio.sleep(10)
        assert [each["n"] for each in listener.events("PowerCut")] == [*range(56, 120)]


async def test_a_companion_has_its_own_key(tmp_path):
    async with api(tmp_path, "", switched_on=["power", "timelapse"]) as server:
        keyring = server.service.access.keyring
        assert {each.name: each.scope for each in keyring.keys} == {f"companion-{n}": s for n, s in KEYS.items()}
        power = in_memory(server, key_path(tmp_path, "power").read_text().strip())
        await power.post("/api/companions/power", {"state": {"on": True}})
        with pytest.raises(AccessDenied, match="companion-timelapse"):
            await power.post("/api/companions/timelapse", {"state": {}})
        with pytest.raises(AccessDenied, match="companion-timelapse"):
            await power.get("/api/companions/timelapse/requests")
        create_keys(keyring, tmp_path, ["power"])  # a second start changes nothing
        assert (await power.get("/api/companions/power"))["state"] == {"on": True}


async def test_a_companion_not_switched_on_does_not_exist(tmp_path):
    async with api(tmp_path, "") as server:
        client = in_memory(server)
        assert await client.get("/api/companions") == {"companions": {}}
        for path in ("/api/companions/power", "/api/companions/power/requests"):
            with pytest.raises(NotFound, match=r"power is not switched on: add \[power\] or \[sensors\] to the config"):
                await client.get(path)
        with pytest.raises(NotFound, match="there is no companion 'oven'"):
            await client.get("/api/companions/oven")
        with pytest.raises(NotFound):
            await client.companions.ask("power", "on")
        refused = await server.post("/api/timelapse", {"type": "off"})
        assert (refused.status, refused.error) == (409, describe_switched_off("timelapse"))
        assert not (tmp_path / "companions").exists()


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"state": 5}, "state must be an object"),
        ({"events": {}}, "events must be a list"),
        ({"events": [{"name": ""}]}, "name must be a string"),
        ({"events": [{"name": "PowerCut", "payload": 5}]}, "payload must be an object"),
        ({"events": [{"name": "EmergencyStop"}]}, "power may not send 'EmergencyStop'"),
        ({"plugins": [{"plugin": "action_command_prompt"}]}, "power may not send"),
        ({"messages": [{"kind": "current", "payload": {}}]}, "power may not send 'current'"),
        ({"answers": [{"id": 1}]}, "an answer needs an id, and an HTTP status"),
        ({"answers": [{"id": True, "status": 204}]}, "an answer needs an id, and an HTTP status"),
        ({"plugins": [{}] * 65}, "plugins must be a list of at most 64"),
        ({"events": [{"name": "PowerCut", "once": 5}]}, "once must be a string"),
    ],
)
async def test_invalid_states_of_a_companion_are_refused(tmp_path, state, reason):
    async with api(tmp_path, "", switched_on=["power"]) as server:
        response = await server.post("/api/companions/power", state)
        assert response.status == 400
        assert reason in response.error


def test_a_companions_folder_is_absolute_even_if_the_state_directory_is_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # ffmpeg runs in another folder, where a relative name means something else
    assert own_folder(Path("state"), "timelapse", {}) == tmp_path.resolve() / "state/companions/timelapse"


async def test_a_request_that_was_given_up_does_not_end_the_wait_for_the_next():
    companions = Companions(["power"])
    loop = asyncio.get_running_loop()
    companions.store_report("power", {}, {})
    with pytest.raises(CompanionAway):
        await companions.ask("power", "on", within=1)
    began = loop.time()
    assert await companions.requests("power") == []
    assert loop.time() - began == POLL_TIMEOUT
    companions.close()


async def test_a_companions_answer_204_has_no_body(tmp_path):
    async with api(tmp_path, "", switched_on=("power",)) as server:
        server.service.front.companions.store_report("power", {}, {})
        asked = asyncio.create_task(server.post("/api/companions/power/ask", {"do": "on"}))
        [request] = (await server.get("/api/companions/power/requests")).json["requests"]
        answer = {"id": request["id"], "status": 204, "body": {"done": True}}
        assert (await server.post("/api/companions/power", {"answers": [answer]})).status == 204
        assert ((await asked).status, (await asked).body) == (204, b"")


async def test_head_takes_no_requests_away(tmp_path):
    async with api(tmp_path, "", switched_on=("power",)) as server:
        server.service.front.companions.store_report("power", {}, {})
        asked = asyncio.create_task(server.post("/api/companions/power/ask", {"do": "on"}))
        assert (await server.request("HEAD", "/api/companions/power/requests")).status == 200
        assert (await server.request("HEAD", "/api/companions/timelapse/requests")).status == 404
        [request] = (await server.get("/api/companions/power/requests")).json["requests"]
        answer = {"id": request["id"], "status": 204}
        assert (await server.post("/api/companions/power", {"answers": [answer]})).status == 204
        assert (await asked).status == 204


async def test_a_companion_that_goes_in_the_middle_of_a_body_leaves_no_request_behind(tmp_path):
    async with api(tmp_path, "", switched_on=("power",)) as server:
        before = len(asyncio.all_tasks())
        headers = {"Content-Type": "application/json", "Content-Length": "9"}
        path = "/api/companions/power/requests"
        await server.request("POST", path, b'{"id"', headers=headers, hang_up=True)
        await asyncio.sleep(1)
        assert len(asyncio.all_tasks()) == before
