"""The bundle for a bug report contains nothing private, wherever and however it is written."""

import asyncio
import gzip
import io
import json
import socket
import tarfile
from dataclasses import replace
from html import escape
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.cli import doctor as command
from daemon.cli import local_daemon, main
from daemon.client.exchange import HttpAnswer, TornadoExchange
from daemon.config import Config, merge
from daemon.doctor import bundle
from daemon.doctor.finding import Subject, note
from daemon.doctor.scrub import Scrubber
from daemon.doctor.view import View
from daemon.systemd.installed import InstalledService
from hal.ports import Port

KEY = "Zx9kQ2v7Lw4pT8sN1mB6cR3yF5hJ0gD2aE8uI4oP7qW"
KEYS = [KEY, "d3adb33f" * 8, "4be1c1c0d5a3f2e7", "0a1b2c3d4e5f60718293a4b5c6d7e8f9", "CZPX4720X004XK12345"]
ADDRESSES = [
    "192.168.7.23", "10.11.12.13", "203.0.113.77", "fe80::1ff:fe23:4567:890a", "2001:db8:85a3::8a2e:370:7334",
    "b8:27:eb:12:34:56", "octo-kitchen.fritz.box", "werkstatt.local", "anna.mueller@example.org", "cam.mueller.example",
]  # fmt: skip
NAMES = [
    "annamueller",
    "Anna Müller",
    "Müller's Werkstatt",
    "werkstatt-pi",
    "Annas Telefon",
    "Omas Geburtstag",
    "mein-gehäuse",
]
EVERYTHING = [*KEYS, *ADDRESSES, *NAMES]


def ways(text):
    """Return how a text may stand in a file."""
    return {
        text,
        json.dumps(text),
        json.dumps(text, ensure_ascii=False),
        quote(text),
        quote(text, safe=""),
        escape(text),
        text.upper(),
    }


def everywhere():
    """Return a text with all of it, in many surroundings."""
    lines = []
    for each in EVERYTHING:
        for way in sorted(ways(each)):
            lines += [
                f"{way}", f"said {way}.", f"({way})", f'"{way}"', f"x={way}&y", f"a,{way},b", f"[{way}]",
                f"{{'k': '{way}'}}", f"from {way}:51234 to", f"'{way}'",
            ]  # fmt: skip
    for host in ADDRESSES[:3] + ADDRESSES[6:8]:
        lines += [
            f"http://{host}:8080/?action=stream",
            f"https://anna:geheim99@{host}/x",
            f"http://{host}/#pair=ABCD-EFGH-JKLM",
        ]
    lines += [
        f"http://[{ADDRESSES[4]}]:80/",
        "ssh://anna@werkstatt.local",
        "X-Api-Key: kurz1",
        "Authorization: Bearer kurz2",
    ]
    lines += [f"http://{ADDRESSES[0]}/snap.cgi?usr=admin&pwd=geheim15&action=stream", "rtsp://10.1.2.3/live?u=geheim16"]
    lines += ["apikey=kurz3&x", '"password": "kurz4"', "psk = kurz5", "https://x/?token=kurz6", "cookie: session=kurz7"]
    lines += [
        "/home/annamueller/nozzled",
        "/var/lib/nozzled/uploads/Omas Geburtstag/vase für anna.gcode printed",
        "a/geheim8.bgcode",
    ]
    lines += ['[0.1,">","N12 M117 Hallo geheim9*12\\n"]', "M118 P0 geheim10", "nozzled@CZPX4720X004XK12345.service"]
    lines += ["http.refused host='octo.geheim12.duckdns.org' path='Oma geheim13/von geheim14.gcode' size=3"]
    lines += ["/dev/serial/by-id/usb-Prusa_Research_CZPX4720X004XK12345-if00", "dump geheim11.gcode.3mf"]
    return "\n".join(lines)


SHORT = [
    *(f"kurz{n}" for n in range(1, 8)),
    *(f"geheim{n}" for n in (8, 9, 10, 11, 12, 13, 14, 15, 16, 99)),
    "ABCD-EFGH",
    "vase für anna",
]


@pytest.fixture
def subject(tmp_path, monkeypatch):
    """A machine on which all of that stands everywhere; yields its view and its daemon."""
    monkeypatch.setattr(socket, "gethostname", lambda: "werkstatt-pi")
    state = tmp_path / "var/lib/nozzled"
    (state / "faults").mkdir(parents=True)
    (state / "uploads/Omas Geburtstag").mkdir(parents=True)
    (state / "uploads/Omas Geburtstag/vase für anna.gcode").write_text("")
    (state / "api-key").write_text(KEY + "\n")
    (state / "keys.json").write_text(json.dumps({"keys": [{"name": "Annas Telefon", "sha256": KEYS[1]}]}))
    (state / "faults" / "Omas Geburtstag.jsonl.gz").write_bytes(gzip.compress(everywhere().encode()))
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nozzled.toml").write_text(everywhere())
    (tmp_path / "etc/passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nannamueller:x:1000:1000:Anna Müller,,,:/home/a:/bin/sh\n"
    )
    ports = [Port("/dev/ttyACM0", f"/dev/serial/by-id/usb-Prusa_{KEYS[4]}-if00", everywhere(), serial_number=KEYS[4])]
    view = replace(
        View(), root=tmp_path, user="annamueller", run=lambda *_: everywhere(), ports=lambda: ports, now=lambda: 1e9
    )
    tables = {"appearance": {"name": "Müller's Werkstatt"}, "profile": {"name": "mein-gehäuse"}}
    tables["webcam"] = {"stream_url": "http://cam.mueller.example:8080/?action=stream"}
    config = merge(Config(), tables, "test")
    return view, Subject(state, config, tmp_path / "etc/nozzled.toml", service=InstalledService(tmp_path))


def unpacked(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name: archive.extractfile(member).read().decode() for member in archive}


def test_nothing_private_is_in_the_bundle(subject):
    view, details = subject
    texts = bundle.texts(
        view, details, [note(everywhere(), everywhere())], {"job": {"text": everywhere()}, "version": EVERYTHING}
    )
    assert all("192.168.7.23" in text for name, text in texts.items()), "it is everywhere before"
    files = unpacked(bundle.pack(bundle.scrub(view, details, texts), "bundle", 1e9))
    assert len(files) == len(texts)
    for name, text in files.items():
        for private in [*EVERYTHING, *SHORT]:
            for way in ways(private) | {private.strip('"')}:
                plain = way.strip('"').casefold()
                assert plain not in text.casefold(), f"{private} ({way}) in {name}"
                assert plain not in name.casefold()


SWITCHES = r"""
[[power.devices]]
name = "Printer"
type = "http"
user = "otheruser"
on_url = "http://plug/s/kR7fT2pQ9/on"
on_body = "{\"pin\": \"geheim17\"}"
[[power.devices]]
name = "Lamp"
type = "command"
on_command = [
  "/usr/local/bin/plug", "--token",
  "geheim18", "on",
]
"""


@pytest.mark.parametrize("damage", ["", "x"])
def test_secrets_of_switches_are_not_in_the_bundle(damage):
    text = bundle.configuration(SWITCHES + damage)
    assert not [each for each in ("otheruser", "kR7fT2pQ9", "geheim17", "geheim18") if each in text]
    assert 'type = "http"' in text


OF_COMPANIONS = """
[mqtt]
host = "wohnzimmer-nas"
username = "mosqanna"
[[power.devices]]
type = "shelly"
address = "küchenstecker"
[webcam]
stream_url = "http://recorder/xgJuPN3Hf8YN8Tkb/stream"
"""


def test_users_hosts_and_camera_keys_are_not_in_the_bundle(tmp_path):
    (tmp_path / "etc").mkdir()
    path = tmp_path / "etc/nozzled.toml"
    path.write_text(OF_COMPANIONS)
    config = merge(Config(), {"webcam": {"stream_url": "http://recorder/xgJuPN3Hf8YN8Tkb/stream"}}, "test")
    log = "camera.away url=/xgJuPN3Hf8YN8Tkb/stream; mosqanna refused by wohnzimmer-nas; küchenstecker is away"
    view = replace(View(), root=tmp_path, user="pi", run=lambda *_: log, ports=list)
    details = Subject(tmp_path, config, path, service=InstalledService(tmp_path))
    files = bundle.scrub(view, details, bundle.texts(view, details, [], {}))
    text = "".join(files.values())
    assert not [each for each in ("xgJuPN3", "mosqanna", "wohnzimmer", "küchen", "recorder") if each in text]
    assert "/stream" in text
    path.write_text('[mqtt]\nhost = "mosquitto"\nusername = "mqtt"')  # as in many containers
    assert list(bundle.scrub(view, details, {"a": path.read_text()}).values()) == [path.read_text()]


def test_useful_facts_stay_in_the_bundle():
    scrub = Scrubber([KEY], ["pi", "printer", "anna"]).scrub
    for text in (
        "2026-11-28T14:50:25+0100 nozzled[812]: printer.fault reason='no answer to N12 M105 within 30 s' part='core'",
        "http.listening url=http://127.0.0.1:5000/",
        "listens at 0.0.0.0:5000 and [::]:5000 and ::1",
        "T:209.84 /210.00 B:60.1 /60.0 @:64 X:10.00 Y:10.00 Z:0.30",
        "Linux 6.1.0-13-rpi-v8 aarch64, Python 3.11.2, nozzled 0.1.0, OctoPrint 1.11.8",
        "FIRMWARE_NAME:Marlin 2.1.2.4 (Dec  1 2023 12:00:00) PROTOCOL_VERSION:1.0 EXTRUDER_COUNT:1",
        '[profile]\nname = "Default"\nmax_hotend_c = 300.0\n[pause]\npark = "corner"',
        "SOURCE_CODE_URL:https://github.com/MarlinFirmware/Marlin",
        'File "/opt/nozzled/current/lib/python3.11/site-packages/daemon/app.py", line 5, in daemon.app.start(stack)',
        "Bus 001 Device 004: ID 1a86:7523 QinHeng Electronics CH340 serial converter",
        "/var/lib/nozzled/nozzled.db and /dev/ttyACM0, e.g. of pi, the printer",
    ):  # fmt: skip
        assert scrub(text) == text


@pytest.mark.parametrize(
    "text",
    [
        """commands = ["M587 S\\"HeimNetz\\" P\\"wlanpasswort77\\"", "G28"]""",
        """{"sent": "N12 M587S\\"HeimNetz\\"P\\"wlanpasswort77\\"*12\\n"}""",
        "echo:Unknown command: m589 S'HeimNetz' P'wlanpasswort77'",
        "[ESP101]wlanpasswort77",
        'password = "wlanpasswort77 with HeimNetz"',
        "export SECRET='x wlanpasswort77'",
        "Authorization: Bearer wlan.pass-wort77.HeimNetz",
        "a bearer wlanpasswort77.HeimNetz",
        "eyJhbGciOiJIUzI1NiJ9.wlanpasswort77.HeimNetz",
        '{"code": "7KQ2-M9XD-4TFC"}',
        "M118 P0 gone to P192.168.77.9",
        "at X192.168.77.9:80",
    ],
)
def test_credentials_in_commands_settings_and_headers_are_removed(text):
    shown = Scrubber().scrub(text)
    for private in ("HeimNetz", "wlanpasswort77", "wort77", "192.168.77.9", "7KQ2"):
        assert private not in shown


def test_the_same_secret_has_the_same_placeholder_everywhere():
    scrubber = Scrubber()
    assert (
        scrubber.scrub("from 192.168.1.5 by 10.0.0.1, and 192.168.1.5 again")
        == "from <ip-1> by <ip-2>, and <ip-1> again"
    )
    assert scrubber.scrub("again 10.0.0.1") == "again <ip-2>"
    assert scrubber.scrub("part.gcode, then other.gcode, then part.gcode") == (
        "<file-1>.gcode, then <file-2>.gcode, then <file-1>.gcode"
    )


@given(st.ip_addresses(), st.text(" ,;()[]'\"=", min_size=1, max_size=3))
def test_every_network_address_is_removed(address, between):
    text = f"x{between}{address}{between}y"
    version = all(len(part) == 1 for part in str(address).split("."))
    if not (address.is_loopback or address.is_unspecified or version):
        assert str(address) not in Scrubber().scrub(text)


@given(st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", min_size=43, max_size=43))
def test_a_known_key_is_removed_even_within_a_word(key):
    assert key not in Scrubber([key]).scrub(f"a{key}b /{key}/ ?k={key}")


def test_each_of_several_printers_is_checked(tmp_path, capsys, monkeypatch):
    for name in ("etc/nozzled/A1.toml", "etc/nozzled/B2.toml", "etc/systemd/system/nozzled-front.service"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    for name in ("A1", "B2"):
        (tmp_path / f"run/nozzled-{name}").mkdir(parents=True)
    monkeypatch.setattr(local_daemon, "ROOT", tmp_path)
    monkeypatch.setattr(local_daemon.find, "__defaults__", ({}, tmp_path))
    monkeypatch.delenv("NOZZLED_CONFIG", raising=False)
    monkeypatch.setattr(local_daemon, "is_served", lambda *_: False)
    monkeypatch.setattr(command, "View", lambda: replace(View(), run=lambda *_: "", ports=list))
    assert main(["doctor"]) == 1
    output = capsys.readouterr().out
    assert output.index("== nozzled@A1.service") < output.index("== nozzled@B2.service")
    assert "nozzled-front@B2.service is not running" in output
    assert main(["doctor", "--bundle", str(tmp_path / "x.tar.gz")]) == 1
    assert "choose one with --config" in capsys.readouterr().err


def test_the_command_prints_its_findings_and_packs_the_bundle(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(local_daemon, "is_served", lambda *_: False)
    monkeypatch.setattr(command, "View", lambda: replace(View(), run=lambda *_: "", ports=list, now=lambda: 1.79e9))
    (tmp_path / "mine.toml").write_text("[http]\nprot = 1\n")
    words = ["doctor", "--config", str(tmp_path / "mine.toml"), "--state-dir", str(tmp_path / "state")]
    out = tmp_path / "report.tar.gz"
    monkeypatch.chdir(tmp_path)
    assert main(["doctor", "--config", "mine.toml", "--state-dir", "state", "--bundle", str(out)]) == 1
    output = capsys.readouterr()
    assert "BAD   " in output.out
    assert "did you mean port?" in output.out
    assert out.stat().st_mode & 0o777 == 0o600
    assert "report.txt" in {Path(name).name for name in unpacked(out.read_bytes())}
    assert main([*words, "--bundle", str(out)]) == 1
    assert "File exists" in capsys.readouterr().err
    (tmp_path / "mine.toml").write_text('[printer]\naddress = "sim"\n')
    monkeypatch.setattr(local_daemon, "is_served", lambda *_: True)
    monkeypatch.setattr(command, "_ask_daemon", lambda *_: ("0.1.0", {"job": {"state": "Operational"}}))
    assert main([*words, "--json"]) == 0
    assert {"level": "good", "text": "the printer: Operational", "fix": ""} in json.loads(capsys.readouterr().out)
    monkeypatch.setenv("NOZZLED_URL", "http://127.0.0.1:44595")
    assert main([*words, "--json"]) == 0
    assert "own daemon, not http://127.0.0.1:44595 ($NOZZLED_URL)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "body", [b"[]", b"7", b"null", b'{"error": "no", "companions": [1]}', b'{"companions": {"power": 3}}']
)
def test_another_program_at_the_port_does_not_fail_the_doctor(tmp_path, monkeypatch, capsys, body):
    async def answer(_exchange, _request):
        return HttpAnswer(200, {}, body)

    monkeypatch.setattr(TornadoExchange, "send", answer)
    monkeypatch.setattr(local_daemon, "is_served", lambda *_: True)
    monkeypatch.setattr(command, "View", lambda: replace(View(), run=lambda *_: "", ports=list, now=lambda: 1.79e9))
    config = tmp_path / "mine.toml"
    config.write_text("")
    assert main(["doctor", "--config", str(config), "--state-dir", str(tmp_path / "state"), "--json"]) in (0, 1)
    assert json.loads(capsys.readouterr().out)


def test_a_daemon_that_hangs_is_said_not_to_answer(tmp_path, monkeypatch, capsys):
    async def hang(_exchange, _request):
        await asyncio.Event().wait()

    monkeypatch.setattr(TornadoExchange, "send", hang)
    monkeypatch.setattr(command, "TIMEOUT", 0.05)
    monkeypatch.setattr(local_daemon, "is_served", lambda *_: True)
    monkeypatch.setattr(command, "View", lambda: replace(View(), run=lambda *_: "", ports=list, now=lambda: 1.79e9))
    config = tmp_path / "mine.toml"
    config.write_text("")
    assert main(["doctor", "--config", str(config), "--state-dir", str(tmp_path / "state"), "--json"]) == 1
    texts = [each["text"] for each in json.loads(capsys.readouterr().out)]
    assert any(text.startswith("no answer at ") for text in texts), texts
    assert not any("without its key" in text for text in texts)
