"""The files of the farm's page: what it shares with a printer's page is not copied, and all its words are there."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from daemon.farm import page_files

OWN = sorted(page_files.OWN.glob("*.mjs"))
IMPORT = re.compile(r'(?:import|export)\s*(?:\{([^}]*)\}|[\w$]+)\s*from\s*"\./([^"]+)"')
EXPORT = re.compile(r"^export (?:async )?(?:function|class|const) ([\w$]+)|^export \{([^}]*)\}", re.MULTILINE)
MOST = 120 * 1024  # bytes of all modules and style sheets, as they are


def names(text):
    return {each.split(" as ")[0].strip() for each in text.split(",") if each.strip()}


def exported(text):
    found = set()
    for name, several in EXPORT.findall(text):
        found |= {each.split(" as ")[-1].strip() for each in several.split(",")} if several else {name}
    return found


def loaded():
    """Return the text of every module that the page may load, by its name."""
    found, waiting = {}, ["app.mjs", "texts_de.mjs", "reasons_de.mjs"]
    while waiting:
        if (name := waiting.pop()) not in found and not name.startswith("vendor/"):
            file = page_files.find(name)
            assert file is not None, name
            found[name] = file.data.decode()
            waiting += [target for _, target in IMPORT.findall(found[name])]
    return found


def test_every_name_that_is_imported_is_there_also_where_a_printers_module_imports_the_farms():
    modules = loaded()
    for name, text in modules.items():
        for wanted, target in IMPORT.findall(text):
            if not target.startswith("vendor/"):
                assert names(wanted) <= exported(modules[target]), f"{name} imports from {target}"
    assert {path.name for path in OWN} <= set(modules), "a module that nothing loads"
    assert sum(len(text) for text in modules.values()) < MOST


def test_the_farm_has_none_of_the_modules_that_it_shares():
    assert not {path.name for path in page_files.OWN.iterdir()} & page_files.SHARED
    assert all((page_files.PRINTERS / name).is_file() for name in page_files.SHARED)


def test_what_is_no_file_of_the_page_is_not_served():
    for name in ("../page_files.py", "page_files.py", "now.mjs", "store.mjs/", ".hidden.mjs", "vendor/../app.mjs",
                 "vendor/README.md", "/etc/passwd.css", "a\0.css", "nothing.mjs"):  # fmt: skip
        assert page_files.find(name) is None, name
    index = page_files.find("")
    assert index.kind.startswith("text/html")
    assert b"<script" in index.data
    for address in re.findall(r'(?:href|src)="page/([^"]+)"', index.data.decode()):
        assert page_files.find(address) is not None, address


@pytest.fixture(scope="module")
def words():
    """The words in both languages, and what the pure functions say, by one node."""
    script = Path(__file__).with_name("farm_page_pure.mjs")
    done = subprocess.run(["node", script, page_files.OWN], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_all_words_are_there_in_both_languages(words):
    english, german = words["en"], words["de"]
    assert set(english) == set(german)
    used = set()
    for name, text in loaded().items():
        if not name.startswith(("texts", "reasons")):
            used |= set(re.findall(r'\bt\("(\w+)"', text))
            used |= {each for call in re.findall(r'\btn\("(\w+)"', text) for each in (call, f"{call}_1")}
    assert used - {"key_unknown"} <= set(english), used - set(english)  # that one is for a printer's login
    slots = re.compile(r"\{\w+\}")
    assert {name for name in english if set(slots.findall(english[name])) != set(slots.findall(german[name]))} == set()
    for kind in ("trouble", "bed", "paused", "printing", "ready", "held", "away", "all"):
        assert f"kind_{kind}" in english


def test_what_a_printer_is_doing_is_said_in_kinds(words):
    assert words["kinds"] == ["printing", "paused", "ready", "bed", "trouble", "held", "trouble", "away"]


def test_what_is_printed_is_called_as_people_call_it(words):
    assert words["printed"] == ["cube", "x.gcode"]


def test_a_job_moves_before_another_or_to_the_end(words):
    assert words["moved"] == ["null", "a", "undefined", "undefined", "undefined"]  # the end, the front; it stays


def test_copies_whose_printer_is_silent_are_not_said_to_be_printing(words):
    assert words["counts"] == {
        "waiting": 1,
        "printing": 1,
        "unknown": 1,
        "done": 1,
        "failed": 0,
        "cancelled": 0,
        "all": 4,
    }


def test_what_is_left_empty_is_left_to_the_file(words):
    good, *bad = words["fields"]
    assert good == {"fields": {"copies": 3, "nozzle_mm": 0.4, "material": "PLA"}, "wrong": ""}
    assert [each["wrong"] for each in bad] == ["copies", "nozzle_mm"]


def test_events_come_in_pieces(words):
    assert words["heard"] == [["farm", "{}"], ["message", "a\nb"]]
