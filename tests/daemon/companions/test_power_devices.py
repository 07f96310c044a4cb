"""Plugs: the requests to them, and the consequences of bad answers."""

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from daemon.companions.power.config import DeviceConfig
from daemon.companions.power.devices import digest, make
from daemon.companions.power.devices.answers import read_state, value_at
from daemon.companions.power.errors import DeviceError
from support import plugs
from support.processes import has_ended
from support.waiting import TIMEOUT, until

pytestmark = pytest.mark.real_time

PASSWORD = 'joker & "co"/?'
PLUGS = {
    "tasmota": (plugs.Tasmota, {}),
    "shelly of the first generation": (plugs.ShellyFirst, {"type": "shelly"}),
    "shelly of a later generation": (plugs.ShellyLater, {"type": "shelly"}),
    "homeassistant": (plugs.HomeAssistant, {"entity": "switch.printer"}),
}


def config(plug, kind, **more):
    return DeviceConfig(
        **{"name": "plug", "type": kind.split()[0], "address": plug.address, "timeout_s": TIMEOUT, **more}
    )


@asynccontextmanager
async def opened(config, password=""):
    device = make(config, password)
    yield device
    await device.close()


async def sensed(config, password=""):
    async with opened(config, password) as device:
        return await device.sense()


async def try_all(device, plug):
    """Switch on and off; the device's word and the plug's have to be the same each time."""
    assert await device.sense() is False
    await device.on()
    assert plug.on
    assert await device.sense() is True
    await device.off()
    assert not plug.on
    assert await device.sense() is False
    await device.close()


@pytest.mark.parametrize("kind", PLUGS)
async def test_a_plug_obeys_and_reports_its_state(kind):
    cls, more = PLUGS[kind]
    async with cls(PASSWORD).running() as plug:
        await try_all(make(config(plug, kind, **more), PASSWORD), plug)


@pytest.mark.parametrize("kind", ["tasmota", "shelly of the first generation", "shelly of a later generation"])
async def test_a_plug_without_a_password_needs_none(kind):
    cls, more = PLUGS[kind]
    async with cls().running() as plug:
        await try_all(make(config(plug, kind, **more)), plug)


@pytest.mark.parametrize("kind", PLUGS)
async def test_a_wrong_password_is_reported_without_naming_it(kind):
    cls, more = PLUGS[kind]
    async with cls(PASSWORD).running() as plug:
        for password in ("wrong-secret", ""):
            with pytest.raises(DeviceError, match="password") as caught:
                await sensed(config(plug, kind, **more), password)
            assert "wrong-secret" not in str(caught.value)
        assert not plug.on


async def test_a_missing_password_for_an_old_tasmota_is_reported():
    async with plugs.Tasmota(PASSWORD, old=True).running() as plug:
        with pytest.raises(DeviceError, match="Need user"):
            await sensed(config(plug, "tasmota"))


async def test_a_relay_is_chosen_by_number_and_a_missing_one_is_reported():
    async with plugs.Tasmota(relays=4).running() as plug:
        await try_all(make(config(plug, "tasmota", channel=3)), plug)
        assert "GET /cm?cmnd=Power3%20On" in plug.requests
        with pytest.raises(DeviceError, match="no relay Power9"):
            await sensed(config(plug, "tasmota", channel=9))
    async with plugs.ShellyLater().running() as plug:
        with pytest.raises(DeviceError, match="-105"):
            await sensed(config(plug, "shelly", channel=4))


async def test_an_expired_nonce_of_shelly_is_renewed():
    async with plugs.ShellyLater(PASSWORD).running() as plug:
        device = make(config(plug, "shelly"), PASSWORD)
        await device.on()
        plug.nonce = "70dc2c70"
        assert await device.sense() is True
        await device.close()


OK = b"HTTP/1.1 200 OK\r\n"
NONSENSE = {
    "a page": OK + b"Content-Length: 15\r\n\r\n<html>hi</html>",
    "other JSON": OK + b"Content-Length: 2\r\n\r\n[]",
    "nothing": OK + b"Content-Length: 0\r\n\r\n",
    "deep JSON": OK + b"\r\n" + b"[" * 50_000,
    "another state": OK + b'\r\n{"POWER": "MAYBE", "ison": 1, "output": "yes", "state": "unavailable", "gen": 2}',
    "a redirect": b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.example/\r\nContent-Length: 0\r\n\r\n",
    "an error": b"HTTP/1.1 500 X\r\nContent-Length: 4\r\n\r\nboom",
    "no HTTP": b"SSH-2.0-dropbear\r\n\r\n",
    "a header without an end": OK + b"X: " + b"x" * 200_000,
    "a hang-up": b"",
}


@pytest.mark.parametrize("kind", [*PLUGS, "http"])
async def test_an_invalid_answer_is_reported_in_a_sentence(kind):
    cls, more = PLUGS.get(kind, (plugs.AnySwitch, {}))
    async with cls().running() as plug:
        if kind == "http":
            url = f"http://{plug.address}"
            more = {"on_url": f"{url}/on", "off_url": f"{url}/off", "state_url": f"{url}/"}
        for what, reply in NONSENSE.items():
            plug.misbehaviour = reply
            device = make(config(plug, kind, **more), PASSWORD)
            with pytest.raises(DeviceError, match=r"^plug") as caught:
                await device.sense()
            assert len(str(caught.value)) < 300, what
            assert "joker" not in str(caught.value)
            await device.close()


PATH = "/cm?user=admin&password=geheim+plug%2F1&token=abc&cmnd=Power"
ECHOES = {
    "a redirect": f"HTTP/1.1 301 X\r\nLocation: https://1.2.3.4:7009{PATH}\r\nContent-Length: 0\r\n\r\n",
    "a redirect to itself": f"HTTP/1.1 301 X\r\nLocation: {PATH}\r\nContent-Length: 0\r\n\r\n",
    "an error": f"HTTP/1.1 404 X\r\n\r\nNot Found: {PATH}",
    "a page": f"HTTP/1.1 404 X\r\n\r\n<p>{PATH.replace('&', '&amp;')}",
    "JSON": 'HTTP/1.1 200 OK\r\n\r\n{"uri": "/cm", "arguments": {"password": "geheim plug/1", "token": "geheimtoken"}}',
    "arguments": "HTTP/1.1 500 X\r\n\r\nArguments: 3 password: geheim plug/1 token: geheimtoken",
    "no JSON": f"HTTP/1.1 200 OK\r\n\r\n{'x' * 40}{PATH}",
    "basic": "HTTP/1.1 400 X\r\n\r\nAuthorization: Basic YWRtaW46Z2VoZWltIHBsdWcvMQ==",
} | {  # cut off anywhere
    f"a cut at {at}": f"HTTP/1.1 404 X\r\n\r\n{'x' * at} geheim plug/1 {'y' * 200}" for at in range(63, 80)
}


async def reason(ask):
    try:
        return str(await ask())
    except DeviceError as error:
        return f"{error} {error.__cause__}"


@pytest.mark.parametrize("kind", ["tasmota", "shelly", "homeassistant", "http"])
async def test_no_error_message_contains_a_secret(kind):
    async with plugs.AnySwitch().running() as plug:
        more = {"entity": "switch.printer"} if kind == "homeassistant" else {}
        if kind == "http":
            url = f"http://{plug.address}/geheimtoken-in-path?password=geheim%20plug/1&token=geheimtoken&x=abc"
            more = {"on_url": url, "off_url": url, "state_url": url, "user": "admin", "on_body": '{"a": "geheimtoken"}'}
        for what, echo in ECHOES.items():
            plug.misbehaviour = echo.encode()
            device = make(config(plug, kind, **more), "geheim plug/1")
            reasons = [await reason(device.on), await reason(device.sense)]
            hidden = "geheimtoken" if kind == "http" else "geheim+"
            words = ("plug/1", "plug%2F1", "=abc", "geheim plug", hidden, "YWRtaW46Z2VoZWl", "gehei…", "geheim…")
            assert not [each for each in words if each in str(reasons)], (what, reasons)
            await device.close()


@pytest.mark.parametrize("how", ["silence", "drip", "flood"])
async def test_a_plug_that_hangs_drips_or_floods_is_given_up_in_time(how):
    loop = asyncio.get_running_loop()
    async with plugs.Tasmota().running() as plug:
        plug.misbehaviour = how
        device = make(config(plug, "tasmota", timeout_s=0.3))
        began = loop.time()
        with pytest.raises(DeviceError, match="does not answer"):
            await device.on()
        assert loop.time() - began < TIMEOUT, "it would be for ever"
        await device.close()


async def test_an_unreachable_plug_is_reported():
    with pytest.raises(DeviceError, match=r"plug does not answer: .*refused"):
        await sensed(DeviceConfig(name="plug", type="tasmota", address="127.0.0.1:1", timeout_s=2.0))
    for address in ("ftp://plug", "http://", "http://a b", "http://user:pw@plug", "plug:99999", "http://plug?x=1"):
        with pytest.raises(DeviceError, match="is not an address") as caught:
            make(DeviceConfig(name="plug", type="tasmota", address=address))
        assert "pw" not in str(caught.value)


async def test_any_switch_is_driven_by_urls():
    async with plugs.AnySwitch().running() as plug:
        url = f"http://{plug.address}"
        plain = DeviceConfig(name="plug", type="http", on_url=f"{url}/on", off_url=f"{url}/off", state_url=f"{url}/")
        await try_all(make(plain), plug)
        by_json = replace(plain, state_url=f"{url}/json", state_key="relays.0.ison", state_on="true", state_off="false")
        await try_all(make(by_json), plug)
        assert await sensed(replace(plain, state_url="")) is None
        async with opened(replace(plain, method="POST", on_body='{"a": 1}', user="u"), "p") as sent:
            await sent.on()
        assert plug.requests[-1] == 'POST /on {"a": 1}'
        assert plug.headers["content-type"] == "application/json"
        assert plug.headers["authorization"] == "Basic dTpw"
        with pytest.raises(DeviceError, match="answered neither true nor false"):
            await sensed(replace(by_json, state_key="relays.1.ison"))


async def test_a_missing_or_unavailable_entity_is_reported():
    async with plugs.HomeAssistant("token").running() as plug:
        with pytest.raises(DeviceError, match=r"has no switch\.other"):
            await sensed(config(plug, "homeassistant", entity="switch.other"), "token")
        plug.state = "unavailable"
        with pytest.raises(DeviceError, match="is unavailable"):
            await sensed(config(plug, "homeassistant", entity="switch.printer"), "token")
    with pytest.raises(DeviceError, match="is not an entity"):
        make(DeviceConfig(name="x", type="homeassistant", address="ha", entity="../secret"))


async def test_a_switch_is_driven_by_programs(tmp_path):
    flag = tmp_path / "flag"
    device = make(
        DeviceConfig(
            name="plug",
            type="command",
            on_command=("touch", str(flag)),
            off_command=("rm", str(flag)),
            state_command=(
                sys.executable,
                "-S",
                "-c",
                f"import os; print('state:', 'on' if os.path.exists({str(flag)!r}) else 'off')",
            ),
        )
    )
    assert await device.sense() is False
    await device.on()
    assert await device.sense() is True
    await device.off()
    assert not flag.exists()
    with pytest.raises(DeviceError, match=r"rm ended with status 1: .*cannot remove"):
        await device.off()


async def test_a_child_of_a_program_in_a_session_of_its_own_delays_nothing(tmp_path):
    """Such as a daemon that the program starts: the child keeps the pipe open, and is not killed."""
    child = (
        f"pid=$(mktemp {tmp_path}/pid.XXXXXX); setsid sh -c 'echo $$ > $0; exec sleep 600' $pid & "
        "until [ -s $pid ]; do sleep 0.01; done; "  # until then it is in the program's session, and dies with it
    )
    daemonizing = DeviceConfig(
        name="plug", type="command", on_command=("sh", "-c", child + "echo done"), off_command=("true",),
        state_command=("sh", "-c", child + "echo on"), timeout_s=TIMEOUT,
    )  # fmt: skip
    hanging = replace(daemonizing, on_command=("sh", "-c", child + "sleep 600"), timeout_s=2.0)
    try:
        await make(daemonizing).on()
        assert await make(daemonizing).sense() is True
        with pytest.raises(DeviceError, match="has not ended within"):
            async with asyncio.timeout(TIMEOUT):
                await make(hanging).on()
    finally:
        for file in tmp_path.glob("pid.*"):
            os.kill(int(file.read_text()), signal.SIGKILL)


async def test_a_program_that_hangs_is_killed_with_its_children(monkeypatch, tmp_path):
    monkeypatch.setenv("NOZZLED_API_KEY", "secret")
    hanging = DeviceConfig(
        name="plug",
        type="command",
        on_command=("sh", "-c", f"sleep 600 & echo $! > {tmp_path}/pid; wait"),
        off_command=("env",),
        state_command=("env",),
        state_on="secret",
        timeout_s=TIMEOUT,
    )
    with pytest.raises(DeviceError, match="printed neither"):
        await make(hanging).sense()
    for seconds in (0.3, 3.0, 30.0):  # a busy machine may not have begun the program in the first
        with pytest.raises(DeviceError, match="has not ended within"):
            await make(replace(hanging, timeout_s=seconds)).on()
        if pid := (tmp_path / "pid").read_text() if (tmp_path / "pid").exists() else "":
            break
    await until(lambda: has_ended(int(pid)), "the end of the program's child")
    with pytest.raises(DeviceError, match="cannot run"):
        await make(DeviceConfig(name="p", type="command", on_command=("/nowhere",), off_command=("true",))).on()


def test_the_digest_is_that_of_its_standards_example():
    header = (
        'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={}, '
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    for algorithm, response in (
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ):
        challenge = digest.parse_challenge(header.format(algorithm))
        authorization = digest.authorization(
            challenge,
            "GET",
            "/dir/index.html",
            "Mufasa",
            "Circle of Life",
            "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        )
        assert f'response="{response}"' in authorization
    assert digest.parse_challenge(header.format("MD5").replace("auth, auth-int", "auth-int, auth")) is not None
    assert digest.parse_challenge(header.format("MD5").replace("auth, auth-int", "auth-int")) is None
    assert digest.parse_challenge(header.format("SHA-512-256")) is None
    assert digest.parse_challenge('Basic realm="x"') is None
    assert digest.parse_challenge("Digest " + 'a="' * 5000) is None


def test_texts_from_devices_are_read_as_on_or_off():
    assert read_state(" ON\n", "on", "off") is True
    assert read_state("the relay is off now", "on", "off") is False
    assert read_state("<html>function button</html>", "on", "off") is None
    assert read_state("on and off", "on", "off") is None
    assert read_state('"state": true', '"state": true', '"state": false') is True
    assert value_at({"a": [{"b": 1}]}, "a.0.b") == "1"
    assert value_at({"a": True}, "a") == "true"
    assert value_at({"a": {}}, "a") is None
    assert value_at([1], "7") is None
