"""The files of the farm's page: it shares modules with a printer's page without copies, and no text is missing."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from daemon.companions.farm.steps import NO_CLEAR_BED
from daemon.farm import page_files
from daemon.farm.list import user_actions
from daemon.farm.list.values import FarmJob
from daemon.farm.list.wait_reasons import why_job_waits
from daemon.farm.messages import Presence
from support.processes import program

OWN = sorted(page_files.FARM_PAGE.glob("*.mjs"))
IMPORT = re.compile(r'(?:import|export)\s*(?:\{([^}]*)\}|[\w$]+)\s*from\s*"\./([^"]+)"')
EXPORT = re.compile(r"^export (?:async )?(?:function|class|const) ([\w$]+)|^export \{([^}]*)\}", re.MULTILINE)
MAX_BYTES = 120 * 1024  # of all modules, unpacked


def names(text):
    return {each.split(" as ")[0].strip() for each in text.split(",") if each.strip()}


def exported(text):
    exports = set()
    for name, several in EXPORT.findall(text):
        exports |= {each.split(" as ")[-1].strip() for each in several.split(",")} if several else {name}
    return exports


def loaded():
    """Return the source of every module that the page may load, by its name."""
    texts, waiting = {}, ["app.mjs", "texts_de.mjs", "reasons_de.mjs"]
    while waiting:
        if (name := waiting.pop()) not in texts and not name.startswith("vendor/"):
            file = page_files.find(name)
            assert file is not None, name
            texts[name] = file.data.decode()
            waiting += [target for _, target in IMPORT.findall(texts[name])]
    return texts


def test_every_imported_name_exists_also_where_a_shared_module_imports_the_farms():
    modules = loaded()
    for name, text in modules.items():
        for imported, target in IMPORT.findall(text):
            if not target.startswith("vendor/"):
                assert names(imported) <= exported(modules[target]), f"{name} imports from {target}"
    assert {path.name for path in OWN} <= set(modules), "no module imports these"
    assert sum(len(text) for text in modules.values()) < MAX_BYTES


def test_no_shared_module_has_a_copy_in_the_farms_folder():
    assert not {path.name for path in page_files.FARM_PAGE.iterdir()} & page_files.SHARED
    assert all((page_files.PRINTER_PAGE / name).is_file() for name in page_files.SHARED)


def test_other_files_are_not_served():
    for name in ("../page_files.py", "page_files.py", "now.mjs", "store.mjs/", ".hidden.mjs", "vendor/../app.mjs",
                 "vendor/README.md", "/etc/passwd.css", "a\0.css", "nothing.mjs"):  # fmt: skip
        assert page_files.find(name) is None, name
    index = page_files.find("")
    assert index.kind.startswith("text/html")
    assert b"<script" in index.data
    addresses = re.findall(r'(?:href|src)="page/([^"]+)"', index.data.decode())
    assert addresses
    for address in addresses:
        assert page_files.find(address) is not None, address


@pytest.fixture(scope="module")
def page():
    """The texts in both languages, and results of the pure functions, from one run of node."""
    script = Path(__file__).with_name("farm_page_pure.mjs")
    command = [program("node", "nodejs"), script, page_files.FARM_PAGE]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


def test_every_text_exists_in_both_languages(page):
    english, german = page["en"], page["de"]
    assert set(english) == set(german)
    used = set()
    for name, text in loaded().items():
        if not name.startswith(("texts", "reasons")):
            used |= set(re.findall(r'\bt\("(\w+)"', text))
            used |= {each for call in re.findall(r'\btn\("(\w+)"', text) for each in (call, f"{call}_1")}
    assert used - {"key_unknown"} <= set(english), used - set(english)  # only a printer's login needs it
    slots = re.compile(r"\{\w+\}")
    assert {name for name in english if set(slots.findall(english[name])) != set(slots.findall(german[name]))} == set()
    for kind in ("trouble", "bed", "paused", "printing", "ready", "held", "away", "all"):
        assert f"kind_{kind}" in english


def test_each_state_of_a_printer_has_its_kind(page):
    assert page["kinds"] == ["printing", "paused", "ready", "bed", "trouble", "held", "trouble", "away"]


def test_a_print_has_the_name_of_its_job_or_file(page):
    assert page["printed"] == ["cube", "x.gcode"]


def test_a_job_moves_before_another_or_to_the_end(page):
    assert page["moved"] == ["null", "a", "undefined", "undefined", "undefined"]  # end, front, and thrice no move


def test_the_bounds_of_a_jobs_fields_are_those_of_the_list():
    kinds, fields = ((page_files.FARM_PAGE / name).read_text() for name in ("kinds.mjs", "job_fields.mjs"))
    number = user_actions.MAX_PRIORITY
    assert f'[["copies", 1, {user_actions.MAX_COPIES}], ["priority", -{number}, {number}]]' in kinds
    assert f"const MAX_NOZZLE = {user_actions.MAX_NOZZLE:g};" in kinds
    word = user_actions.MAX_WORD
    assert f"{{material: {word}, colour: {word}, group: {word}, notes: {user_actions.MAX_NOTES}}}" in fields


def test_copies_of_a_silent_printer_do_not_count_as_printing(page):
    assert page["counts"] == {
        "waiting": 1,
        "printing": 1,
        "unknown": 1,
        "done": 1,
        "failed": 0,
        "cancelled": 0,
        "all": 4,
    }


def test_empty_fields_are_left_to_the_file(page):
    good, *bad = page["fields"]
    assert good == {"fields": {"copies": 3, "nozzle_mm": 0.4, "material": "PLA"}, "wrong": ""}
    assert [each["wrong"] for each in bad] == ["copies", "nozzle_mm"]


def test_events_are_read_from_pieces(page):
    assert page["heard"] == [["farm", "{}"], ["message", "a\nb"]]


def test_every_translated_message_is_still_one_of_the_farms():
    sources = "".join(path.read_text() for path in page_files.FARM_PAGE.parent.rglob("*.py"))
    sentences = [*waiting_sentences(), NO_CLEAR_BED, *re.findall(r'Refused\(\d+, "([^"]+)"\)', sources)]
    assert "differ in {what}: change that first" in sources
    sentences.append("jobs 7 and 8 differ in priority: change that first")
    pairs = re.findall(r'^  \["(.*)", "(.*)"\],$', (page_files.FARM_PAGE / "reasons_de.mjs").read_text(), re.MULTILINE)
    assert len(pairs) > 10
    for english, german in pairs:
        assert sorted(re.findall(r"{\w+}", english)) == sorted(re.findall(r"{\w+}", german)), english
        pattern = re.sub(r"\\{\w+\\}", ".+", re.escape(english))
        assert any(re.fullmatch(pattern, each) for each in sentences), f"the farm never says {english!r}"


def waiting_sentences():
    """Return why a job waits, in situations that bring up every translated sentence."""

    def waiting(printers=None, misfits=None, before=0, **fields):
        job = FarmJob(id="", number=1, name="", sha256="", state="waiting", created=0, revision=0,
                      counts={"waiting": 1}, **fields)  # fmt: skip
        return why_job_waits(job, printers or {}, misfits or {}, before, 0, lambda _: "14:20")

    ready, busy = Presence(at=0, boot="", ready=True), Presence(at=0, boot="")
    fitting = {"mk3": [], "mk4": []}
    yield from waiting()
    yield from waiting(held=True, held_by="ada")
    yield from waiting(held=True, held_by="ada", held_at=0)
    yield from waiting(site="munich")
    yield from waiting({"mk3": ready}, {"mk3": [("group", "not in the group")]}, group="left")
    yield from waiting({"mk3": busy}, {"mk3": []})
    for count in (0, 1, 2):
        yield from waiting({"mk3": ready, "mk4": ready}, fitting, count)
    yield from waiting({"mk3": ready}, {"mk3": []})
    for wish in ("material", "volume", "temperature"):
        yield from waiting({"mk3": ready}, {"mk3": [(wish, "mk3 does not")]}, material="PLA")


def test_a_connection_that_replaces_another_is_kept(tmp_path):
    """A user presses "Try now" while the old stream is still open."""
    shutil.copytree(page_files.PRINTER_PAGE, tmp_path, dirs_exist_ok=True)
    shutil.copytree(page_files.FARM_PAGE, tmp_path, dirs_exist_ok=True)
    script = Path(__file__).with_name("farm_page_link.mjs")
    command = [program("node", "nodejs"), script, tmp_path]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(result.stdout) == {"streams": 2, "state": "live"}
