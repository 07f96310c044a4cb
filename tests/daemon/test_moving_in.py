"""Moving in from OctoPrint: its base directory as 1.11 has written it, into a daemon in memory."""

import argparse
import importlib
import json
import os
import shutil
from pathlib import Path

import pytest

from daemon.cli import main
from daemon.cli.options import STATE_DIR
from daemon.client import RequestRefused
from daemon.errors import FileError
from daemon.front.access.keyring import Keyring, digest
from daemon.moving import octoprint, reading, transfer
from daemon.moving.inventory import EarlierPrint, Inventory, OldKey
from daemon.moving.transfer import MoveReport
from support.client import in_memory
from support.http import NOW, api

BASE = Path(__file__).parents[1] / "data/octoprint"
OMA = "Geschenke/2026/Grüße an Oma.gcode"


@pytest.fixture
def base(tmp_path):
    """A base directory that may be changed."""
    return Path(shutil.copytree(BASE, tmp_path / "octoprint"))


def test_everything_of_octoprint_is_found():
    findings = octoprint.read(BASE)
    assert {each.path for each in findings.uploads} == {"cube.gcode", "Geschenke/benchy (1).gcode", OMA}
    assert [(each.path, each.success, each.seconds) for each in findings.prints] == [
        ("cube.gcode", True, 29.25),
        ("cube.gcode", True, 29.75),
        ("cube.gcode", False, None),
        ("gone.gcode", True, 10.0),
    ]
    assert findings.profile == {
        "name": "MK3S+", "model": "Original Prusa", "heatedBed": True, "heatedChamber": True,
        "volume": {"width": 250, "depth": 210, "height": 210, "origin": "lowerleft", "formFactor": "rectangular"},
        "extruder": {"count": 2, "nozzleDiameter": 0.6, "sharedNozzle": True},
    }  # fmt: skip
    assert findings.presets == [
        {"name": "PLA Prusament", "extruder": 215, "bed": 60, "chamber": None},
        {"name": "ASA: hot", "extruder": 260, "bed": 105, "chamber": 50},
    ]
    assert findings.name == 'Küche #2: "groß"'
    assert findings.webcam == {
        "streamUrl": "/webcam/?action=stream", "snapshotUrl": "http://127.0.0.1:8080/?action=snapshot", "flipV": True,
    }  # fmt: skip
    assert [each.name for each in findings.keys] == ["OctoApp", "Cura auf Annas PC", "anna"]
    assert 'address = "serial:/dev/ttyUSB0?baudrate=250000"' in " ".join(findings.hints)


def test_data_not_imported_is_named():
    left = "\n".join(octoprint.read(BASE).not_imported)
    for each in (
        "1 file that is not G-code: model.stl", "bedlevelvisualizer, my_plugin", "timelapses (1 file)",
        "1 user with passwords", "G-code scripts (1 file): set them in [scripts] of the configuration", "Other",
        "y_min_mm = -4", "the global API key",
    ):  # fmt: skip
        assert each in left
    assert "classicwebcam" not in left


@pytest.mark.parametrize("name", ["", ".octoprint", "basedir"])
def test_octoprint_is_found_in_a_home_directory_and_in_a_backup(base, tmp_path, name):
    home = tmp_path / "home"
    home.mkdir()
    base.rename(home / name if name else tmp_path / "plain")
    assert octoprint.read(home if name else tmp_path / "plain").name


def test_a_wrong_folder_is_refused_with_the_usual_place(tmp_path, capsys):
    assert main(["import", "octoprint", str(tmp_path)]) == 1
    assert "~/.octoprint" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["a: [", "a: !!python/object:os.system x", "a: &x [*x", "\x00", "a: 1\na: {b: ["])
def test_settings_that_are_not_yaml_are_reported(base, text):
    (base / "config.yaml").write_text(text)
    with pytest.raises(FileError, match=r"config\.yaml is not valid YAML"):
        octoprint.read(base)


@pytest.mark.parametrize(
    "text", ["", "[]", "just a text", "temperature: 1\nplugins: [a]\nwebcam: x\nserial: []\nevents: 3"]
)
def test_settings_of_a_wrong_type_are_left_out(base, text):
    for path in ("config.yaml", "users.yaml", "data/appkeys/keys.yaml", "printerProfiles/_default.profile"):
        (base / path).write_text(text)
    (base / "uploads/.metadata.json").write_text("{")
    findings = octoprint.read(base)
    assert (findings.presets, findings.webcam, findings.keys, findings.profile.get("extruder", {})) == ([], {}, [], {})
    assert any(".metadata.json cannot be read" in each for each in findings.not_imported)
    assert len(findings.uploads) == 3


def test_settings_of_older_versions_are_read(base):
    (base / "config.yaml").write_text(
        "webcam:\n  stream: http://cam/\n  flipH: true\n  rotate90: 'no'\n"
        "temperature:\n  profiles:\n  - {name: 'PLA', extruder: '205', bed: '60'}\n  - {name: '', bed: 1}\n  - 3\n"
        "folder:\n  uploads: /nowhere\n"
    )
    findings = octoprint.read(base)
    assert findings.webcam == {"streamUrl": "http://cam/", "flipH": True}
    assert findings.presets == [{"name": "PLA", "extruder": 205, "bed": 60, "chamber": None}]
    assert len(findings.uploads) == 3


def test_uploads_may_be_in_another_folder_but_links_are_not_followed(base, tmp_path):
    (base / "uploads").rename(tmp_path / "disk")
    (tmp_path / "secret.gcode").write_text("G28\n")
    (tmp_path / "disk/link.gcode").symlink_to(tmp_path / "secret.gcode")
    (tmp_path / "disk/.hidden.gcode").write_text("G28\n")
    (base / "config.yaml").write_text(f"folder:\n  uploads: {tmp_path}/disk\n")
    findings = octoprint.read(base)
    assert len(findings.uploads) == 3
    assert "link.gcode, which is a link to another folder" in findings.not_imported


def test_folders_notes_and_display_names_are_found_or_reported(base):
    (base / "uploads/empty/deep").mkdir(parents=True)
    (base / "uploads/.thumbs").mkdir()
    notes = {
        "cube.gcode": {"notes": ["first layer at 0.2", {"author": "anna", "text": "oil\x1b[31m the rod"}, 3]},
        "gone.gcode": {"notes": "a" * 5000, "display": "Größe.gcode"},
        "odd.gcode": {"notes": {"text": 5}, "display": {}},
        "none": None,
    }
    (base / "uploads/.metadata.json").write_text(json.dumps(notes))
    findings = octoprint.read(base)
    assert findings.folders == ["empty", "empty/deep"]
    assert findings.notes == {"cube.gcode": "first layer at 0.2\noil [31m the rod", "gone.gcode": "a" * 1000}
    assert "display names of files: Größe.gcode (gone.gcode)" in findings.not_imported


def test_unreadable_files_are_named_and_the_rest_is_read(base, tmp_path, monkeypatch):
    walk = os.walk

    def barred(root, onerror):  # root may read everything
        for folder, folders, files in walk(root):
            if "Geschenke" in folders:
                onerror(PermissionError(13, "Permission denied", str(Path(root) / "Geschenke")))
                folders.remove("Geschenke")
            yield folder, folders, files

    monkeypatch.setattr(os, "walk", barred)
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/x.gcode").write_text("G28\n")
    (base / "uploads/linked").symlink_to(tmp_path / "disk")
    (base / "uploads/dead").symlink_to(tmp_path / "nowhere")
    (base / "uploads/round.gcode").symlink_to("round.gcode")
    os.mkfifo(base / "uploads/pipe.gcode")
    os.mkfifo(base / "printerProfiles/pipe.profile")
    (base / "uploads/.metadata.json").unlink()
    os.mkfifo(base / "uploads/.metadata.json")
    with pytest.raises(FileError, match=r"pipe\.profile is not a regular file"):
        octoprint.read(base)
    (base / "printerProfiles/pipe.profile").unlink()
    findings = octoprint.read(base)
    assert [each.path for each in findings.uploads] == ["cube.gcode"]
    for each in (
        "the folder Geschenke: Permission denied; try with sudo",
        "the folder linked, which is a link to another folder",
        "pipe.gcode, which is not a regular file",
        "round.gcode, which is a link to another folder",
    ):
        assert each in findings.not_imported
    assert ".metadata.json cannot be read" in "\n".join(findings.not_imported)


async def test_names_that_are_not_text_are_reported_and_the_rest_is_read(base, tmp_path):
    odd = os.fsdecode(b"\xff\xfe")
    (base / "uploads" / odd).mkdir()
    for path in (f"{odd}.gcode", f"{odd}/a.gcode", f"{odd}.stl"):
        (base / "uploads" / path).write_text("G28\n")
    (base / "data/appkeys/keys.yaml").write_text('anna:\n- {app_id: "Octo\\nApp", api_key: x}\n')
    findings = octoprint.read(base)
    assert len(findings.uploads) == 3
    assert "\ufffd\ufffd.gcode, whose name is not UTF-8: rename it and import again" in findings.not_imported
    assert "\ufffd\ufffd/a.gcode, whose name is not UTF-8: rename it and import again" in findings.not_imported
    assert "the key of an app whose name is not text on one line" in findings.not_imported
    json.dumps(findings.not_imported).encode("ascii").decode().encode("utf-8")
    "".join([*findings.not_imported, *findings.folders]).encode()
    async with api(tmp_path / "daemon", "") as server, in_memory(server) as client:
        await client.files.upload(base / "uploads" / f"{odd}.gcode")
        assert list(server.service.uploaded()) == ["\ufffd\ufffd.gcode"]


def test_only_some_of_very_many_unreadable_folders_are_named(base):
    (base / "timelapse/real").mkdir()
    for number in range(100):
        (base / f"timelapse/{number}").symlink_to("real")
    reasons = [
        each
        for each in octoprint.read(base).not_imported
        if "link to another folder" in each or "for reasons like these" in each
    ]
    assert (len(reasons), reasons[-1]) == (31, "further folders of timelapses, for reasons like these")


@pytest.mark.parametrize("name", ["uploads", "timelapse", "watched", "printerProfiles"])
@pytest.mark.parametrize("folder_name", ["/", "above", "linked", "/nowhere", "a" * 300, "file"])
def test_folders_that_cannot_be_octoprints_are_not_searched(base, tmp_path, name, folder_name):
    (tmp_path / "secret.gcode").write_text("G28\n")
    (tmp_path / "linked").symlink_to(tmp_path)
    (tmp_path / "file").touch()
    folder = {"above": tmp_path, "linked": tmp_path / "linked", "file": tmp_path / "file"}.get(folder_name, folder_name)
    (base / "config.yaml").write_text(json.dumps({"folder": {name: str(folder)}}))
    findings = octoprint.read(base)
    assert any(
        each.startswith(f"files in {folder}, which config.yaml names for {name}: ") for each in findings.not_imported
    )
    assert len(findings.uploads) == (0 if name == "uploads" and folder_name in ("/", "above", "linked") else 3)


def test_an_endless_folder_is_searched_up_to_a_limit(base, monkeypatch):
    monkeypatch.setattr(reading, "MAX_ENTRIES", 2)
    left = octoprint.read(base).not_imported
    assert "everything after the first 2 files and folders of the uploads" in left
    (base / "config.yaml").write_bytes(b"a: 1\n" * 10)
    monkeypatch.setattr(reading, "MAX_BYTES", 20)
    with pytest.raises(FileError, match="is larger than"):
        octoprint.read(base)


@pytest.mark.parametrize("name", ["_list_not_imported", "_add_keys", "_add_default_profile"])
def test_a_failing_disk_is_reported_in_a_sentence(base, monkeypatch, capsys, name):
    def failing(*_):
        raise OSError(5, "Input/output error", str(base / "data"))

    monkeypatch.setattr(f"daemon.moving.octoprint.{name}", failing)
    assert main(["import", "octoprint", str(base), "--dry-run"]) == 1
    assert f"{base / 'data'}: Input/output error" in capsys.readouterr().err


def test_a_default_profile_is_ignored(base):
    (base / "printerProfiles/_default.profile").write_text(
        "model: Generic RepRap Printer\nname: Default\nvolume: {width: 200.0, depth: 200.0, height: 200.0}\n"
    )
    findings = octoprint.read(base)
    assert findings.profile == {}
    assert any("which was never changed" in each for each in findings.not_imported)


async def test_uploads_keep_folders_and_dates_and_a_second_import_copies_only_new_ones(tmp_path, base):
    (base / "uploads/empty").mkdir()
    dates = {"cube.gcode": 1.6e9 + 0.25, "Geschenke/benchy (1).gcode": 1.5e9, OMA: NOW + 1000}
    for path, date in dates.items():
        os.utime(base / "uploads" / path, (date, date))
    findings = octoprint.read(base)
    findings.profile, findings.presets, findings.webcam, findings.name = {}, [], {}, ""
    shown = []
    async with api(tmp_path / "daemon", "") as server, in_memory(server) as client:
        taken = await transfer.send(client, findings, lambda done, total: shown.append((done, total)))
        assert set(taken.uploads) == set(server.service.uploaded()) == {"cube.gcode", "Geschenke/benchy (1).gcode", OMA}
        root = server.service.files.root
        assert {path: (root / path).stat().st_mtime for path in dates} == dates | {OMA: NOW}, (
            "or now, for a future date"
        )
        assert (taken.folders, (root / "empty").is_dir()) == (["empty"], True)
        assert server.service.uploaded()[OMA] == (BASE / "uploads" / OMA).read_bytes()
        assert (shown[0], shown[-1], taken.existing_count) == ((0, 3), (3, 3), 0)
        again = await transfer.send(client, findings)
        assert (again.uploads, again.existing_count) == ([], 3)


async def test_settings_are_taken_over_from_octoprint(tmp_path):
    findings = octoprint.read(BASE)
    findings.uploads = []
    async with api(tmp_path, "") as server, in_memory(server) as client:
        taken = await transfer.send(client, findings)
        assert list(taken.settings) == ["profile", "name", "webcam", "presets"]
        settings = await client.settings()
        profile = await client.get("/api/printerprofiles/_default")
    assert settings["appearance"]["name"] == findings.name
    assert {"name": "ASA: hot", "extruder": 260, "bed": 105, "chamber": 50} in settings["temperature"]["profiles"]
    assert findings.webcam.items() <= settings["nozzled"]["webcam"].items()
    assert (profile["volume"]["width"], profile["extruder"]["count"]) == (250, 2)


async def test_a_refused_file_does_not_prevent_the_others(tmp_path, base):
    (base / "uploads/page.gcode").write_bytes(b"\x00\x01\x02" * 100)
    findings = octoprint.read(base)
    findings.profile, findings.presets, findings.webcam, findings.name = {}, [], {}, ""
    async with api(tmp_path / "daemon", "") as server, in_memory(server) as client:
        taken = await transfer.send(client, findings)
    assert len(taken.uploads) == 3
    assert any(each.startswith("page.gcode: ") for each in taken.not_imported)


class Settings:
    """A daemon's settings, some of which are refused."""

    def __init__(self, *refused):
        self.refused = refused
        self.profile = {}
        self.kept = {
            "temperature": {"profiles": [{"name": "pla prusament", "extruder": 1}, {"name": "ABS", "extruder": 240}]}
        }

    async def settings(self):
        return self.kept

    async def patch(self, _, data):
        self._check(data)
        self.profile = data["profile"]

    async def post(self, _, data):
        self._check(data)
        self.kept = {**self.kept, **data}

    def _check(self, data):
        for word in self.refused:
            if word in json.dumps(data):
                raise RequestRefused("POST", 409, f"{word} is refused")


async def test_settings_are_taken_over_section_by_section():
    findings = octoprint.read(BASE)
    findings.uploads = []
    daemon = Settings()
    taken = await transfer.send(daemon, findings)
    assert daemon.profile == findings.profile
    assert [each["name"] for each in daemon.kept["temperature"]["profiles"]] == ["ABS", "PLA Prusament", "ASA: hot"]
    assert daemon.kept["webcam"] == findings.webcam
    assert taken.settings == {
        "profile": "MK3S+ / Original Prusa, 250 x 210 x 210 mm", "name": 'Küche #2: "groß"',
        "webcam": "/webcam/?action=stream", "presets": "PLA Prusament, ASA: hot",
    }  # fmt: skip
    daemon = Settings("volume", "ASA: hot", "webcam")
    taken = await transfer.send(daemon, findings)
    assert set(taken.settings) == {"name", "presets"}
    assert taken.settings["presets"] == "PLA Prusament"
    assert {"the printer profile: volume is refused", "the preset ASA: hot: ASA: hot is refused"} <= set(
        taken.not_imported
    )


def test_each_user_gets_a_new_key_or_keeps_its_own(tmp_path):
    inventory = Inventory(keys=[OldKey("OctoApp", "x" * 40), OldKey("anna", "SHORT"), OldKey("OctoApp", "y" * 40)])
    ring, taken = Keyring(tmp_path, lambda: 0.0), MoveReport()
    transfer.add_keys(ring, inventory, taken, keep=True)
    assert (taken.keys, ring.identify(digest("x" * 40)).name) == ({"OctoApp": ""}, "OctoApp")
    assert [each.split(",")[0].split(":")[0] for each in taken.not_imported] == [
        "the key of anna",
        "the key of OctoApp",
    ]
    taken = MoveReport()
    transfer.add_keys(ring, Inventory(keys=[OldKey("anna", "SHORT")]), taken, keep=False)
    assert ring.identify(digest(taken.keys["anna"])).name == "anna"


async def test_statistics_are_taken_over_while_the_daemon_runs(tmp_path):
    findings = octoprint.read(BASE)
    taken = MoveReport()
    async with api(tmp_path, "") as server, in_memory(server) as client:
        await client.files.upload((BASE / "uploads/cube.gcode"), name="cube.gcode")
        for _ in range(2):  # the second time adds nothing
            transfer.add_prints(tmp_path / "nozzled.db", findings.prints, {"cube.gcode": 100}, taken)
        transfer.add_prints(
            tmp_path / "nozzled.db", [EarlierPrint("cube.gcode", 5.0, 1.0, success=True)], {"cube.gcode": 1}, taken
        )
        prints = (await client.files.get("cube.gcode"))["prints"]
    assert (prints["success"], prints["failure"]) == (3, 1)
    assert prints["last"]["success"] is False
    assert any("whose files no longer exist" in each for each in taken.not_imported)


def test_a_record_that_cannot_be_written_is_reported(tmp_path):
    taken = MoveReport()
    transfer.add_prints(tmp_path / "none.db", [EarlierPrint("a", 1.0, 1.0, success=True)], {"a": 1}, taken)
    assert "unable to open database file" in taken.not_imported[0]


def test_a_dry_run_only_reports(capsys):
    assert main(["import", "octoprint", str(BASE), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    for each in (
        "uploads     3 (",
        "statistics  4 prints",
        "PLA Prusament, ASA: hot",
        "not imported",
        "please check",
    ):
        assert each in shown
    assert "the-key-that" not in shown
    assert main(["import", "octoprint", str(BASE), "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["keys"] == ["OctoApp", "Cura auf Annas PC", "anna"]


def test_a_folder_of_octoprint_in_which_nothing_is_to_be_imported_says_so(capsys, tmp_path):
    (tmp_path / "config.yaml").write_text("server: {}\n")
    assert main(["import", "octoprint", str(tmp_path), "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("found\n  nothing\n")


async def test_the_command_takes_over_everything(tmp_path, monkeypatch):
    command = importlib.import_module("daemon.cli.import")
    monkeypatch.delenv("NOZZLED_URL", raising=False)
    findings = octoprint.read(BASE)
    findings.notes = {"cube.gcode": "oil the rod", "gone.gcode": "lost"}
    args = argparse.Namespace(
        config=None, url=None, json=False, keep_keys=False, no_keys=False, **{STATE_DIR: str(tmp_path)}
    )
    async with api(tmp_path, "") as server, in_memory(server) as client:
        shown = (await command._import(client, findings, args))["shown"]
        files = (await client.files.list(recursive=True))["files"]
        notes = [each["notes"] for each in (await client.history.list(path="cube.gcode"))["jobs"]]
        again = (await command._import(client, findings, args))["shown"]
        await client.history.note((await client.history.list(path="cube.gcode"))["jobs"][0]["id"], "mine")
        other = (await command._import(client, findings, args))["shown"]
    assert notes == ["oil the rod", "", ""]
    assert "of 1 file\n" in shown
    assert "the notes of gone.gcode, which has no print in the history: lost" in shown
    assert "the notes of cube.gcode" not in again
    assert "the notes of cube.gcode, whose last print has other notes: oil the rod" in other
    assert len(files) == 2
    assert "uploads" in shown
    assert "3 prints" in shown
    assert "key of OctoApp" in shown
    assert "not shown again" in shown
    args.url, args.config = "http://elsewhere", tmp_path / "none.toml"  # a configuration that cannot be read
    taken = MoveReport()
    command._import_into_state(findings, taken, {}, args)
    assert len(taken.not_imported) == 2
    assert "on the daemon's own computer" in taken.not_imported[0]


async def test_earlier_prints_are_in_the_history_after_existing_ones(tmp_path):
    for number, ended in enumerate((1000.0, 500.0)):
        async with api(tmp_path, "") as server, in_memory(server) as client:
            prints = [EarlierPrint("a.gcode", ended + n, 10.0, success=True) for n in range(2)]
            if number:
                assert len((await client.get("/api/history"))["jobs"]) == 2
            transfer.add_prints(tmp_path / "nozzled.db", prints, {"a.gcode": 5}, MoveReport())
    async with api(tmp_path, "") as server, in_memory(server) as client:
        assert [each["ended"] for each in (await client.get("/api/history"))["jobs"]] == [1001.0, 1000.0, 501.0, 500.0]
