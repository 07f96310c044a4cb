"""`nozzled farm submit`, `status` and others on the farm's real API and a socket: output, exit codes, keys."""

import errno
import json
from contextlib import closing

import pytest

from daemon.cli import farm_jobs, main
from daemon.client import Unreachable
from daemon.client.errors import NeverSent
from daemon.farm.client import FarmClient
from daemon.farm.list.job_list import JobList
from daemon.farm.list.values import FileFacts
from support.farm_page import furnished

NOW = 1_800_000_000.0

pytestmark = pytest.mark.real_time


@pytest.fixture(scope="module")
def farm(tmp_path_factory):
    served = furnished(tmp_path_factory.mktemp("farm"), NOW)
    yield served
    served.close()


@pytest.fixture
def run(farm, monkeypatch, tmp_path, capsys):
    """Run a command with the farm's key; return its output, or its error if it fails."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NOZZLED_FARM_URL", f"http://127.0.0.1:{farm.port}")
    monkeypatch.setenv("NOZZLED_FARM_KEY", farm.key)

    def command(*words, code=0):
        assert main(["farm", *words]) == code, words
        output = capsys.readouterr()
        return output.out if code == 0 else output.err

    return command


@pytest.fixture
def part(tmp_path):
    path = tmp_path / "part.gcode"
    path.write_text("G28\n")
    return str(path)


def test_a_reader_that_hangs_up_is_not_reported_as_an_unreadable_file(run, monkeypatch):
    """`nozzled farm logs --follow | head`: each event is printed as it comes."""

    async def hang_up(*_):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(farm_jobs, "_act", hang_up)
    monkeypatch.setattr("daemon.cli._drop_output", lambda: None)
    assert run("logs", code=1) == ""


def test_files_become_jobs_with_reasons_why_they_wait(run, part, farm):
    output = run("submit", part, "--copies", "2", "--material", "PLA", "--group", "small", "--notes", "blue bin")
    assert output == "job 4: part.gcode, 2 copies\n"
    assert "part.gcode  PLA  small" in run("status")
    why = run("why", "4")
    assert "no printer of group small that fits is ready: mini-1 prints" in why
    assert run("hold", "4") == "job 4 is on hold: no further copy begins\n"
    assert "on hold" in run("why", "4")
    assert run("release", "4") == "job 4 is released\n"
    run("edit", "4", "--copies", "3", "--priority", "5")
    job = json.loads(run("why", "4", "--json"))
    assert (job["copies"], job["priority"], job["notes"]) == (3, 5, "blue bin")
    assert "differ in priority" in run("move", "4", "2", code=6)
    run("edit", "4", "--priority", "0")
    run("move", "4", "2")
    assert [job.number for job in farm.do(lambda jobs: jobs.open_jobs(9))] == [1, 4, 2, 3]
    assert "copy 1 is cancelled" in run("cancel", job["copy_list"][0]["id"], "--copy")
    assert run("cancel", "4") == "job 4 is cancelled\n"
    assert "when the printers have confirmed it" in run("cancel", "1")
    assert "part.gcode" not in run("status")
    assert "part.gcode" in run("status", "--all")
    output = run("logs")
    assert "admin  submitted  job 4  " in output


def test_every_open_job_is_listed(run, farm, monkeypatch):
    monkeypatch.setattr(farm_jobs, "PAGE", 2)
    jobs = json.loads(run("status", "--json"))["jobs"]
    assert [job["number"] for job in jobs] == [job.number for job in farm.do(lambda jobs: jobs.open_jobs(500))]
    assert len(jobs) > 2


def test_a_bed_is_confirmed_clear_and_an_orphan_settled(run, farm):
    printers = run("printers")
    assert "nobody has said that the bed is clear" in printers
    assert "away" in printers
    assert run("clear", "mk3-4") == "mk3-4: its bed is clear\n"
    assert farm.printers.orders[-1][1].verb == "bed_clear"
    [orphan] = json.loads(run("status", "--json"))["orphans"]
    assert f"nozzled farm settle {orphan['id']} done|failed" in run("status")
    assert "copy 11 is waiting" in run("again", orphan["id"])
    assert "copy 3 is failed at mk3-2: admin said so" in run("settle", orphan["id"], "failed")
    assert "ORPHAN" not in run("status")
    assert "is failed" in run("settle", orphan["id"], "done", code=6)
    assert "there is no printer nobody" in run("clear", "nobody", code=5)


def test_a_job_handed_over_to_a_site_stays_there(run, part):
    number = run("submit", part).split()[1].rstrip(":")
    assert run("hand-over", number, "munich") == f"job {number} is handed over to the site munich\n"
    assert "the site munich has it" in run("status")
    assert "change it there" in run("hold", number, code=6)
    [copy] = json.loads(run("why", number, "--json"))["copy_list"]
    output = run("cancel", copy["id"], "--copy")
    assert output == "copy 1 ends when its printer or site has confirmed it\n"
    assert run("cancel", number) == f"job {number} ends when the site munich has confirmed it\n"


def test_keys_are_created_shown_once_and_removed(run, farm, monkeypatch, tmp_path):
    words = run("key", "add", "anna", "--scope", "read").split()
    assert words[:2] == ["anna", "read"]
    key_file = tmp_path / ".config" / "nozzled" / "farm.key"
    key_file.parent.mkdir(parents=True)
    key_file.write_text(words[2])
    monkeypatch.delenv("NOZZLED_FARM_KEY")
    assert "hinge" in run("status")
    assert "a key of scope control is needed" in run("hold", "1", code=4)
    monkeypatch.setenv("NOZZLED_FARM_KEY", farm.key)
    assert words[2] not in run("key", "list")
    run("key", "remove", "anna")
    monkeypatch.delenv("NOZZLED_FARM_KEY")
    assert "--key-file" in run("status", code=4)


def test_a_lost_answer_makes_no_second_job_and_the_uncertainty_is_reported(run, part, farm, monkeypatch):
    before = farm.do(lambda jobs: len(jobs.open_jobs(500)))
    submit, lost = FarmClient.submit, []

    async def answer_lost(self, *arguments):
        job = await submit(self, *arguments)
        if len(lost) < 1:
            lost.append(job)
            raise Unreachable("the connection ended")
        return job

    monkeypatch.setattr(FarmClient, "submit", answer_lost)
    run("submit", part)
    assert farm.do(lambda jobs: len(jobs.open_jobs(500))) == before + 1

    async def never_answered(self, *arguments):
        raise Unreachable("the connection ended")

    monkeypatch.setattr(FarmClient, "submit", never_answered)
    output = run("submit", part, "--once", "k", code=3)
    assert "it is not known whether part.gcode became a job; jobs made before: none" in output
    assert "add --once k" in output
    assert "has not become a job" in farm_jobs._interruption_text("a", [{"number": 7}], "k", NeverSent("no"))


def test_the_list_is_copied_while_it_is_in_use(run, tmp_path):
    state_folder, copy = tmp_path / "state", tmp_path / "farm-2026-11-29.db"
    config = tmp_path / "farm.toml"
    config.write_text("")
    options = ("--state", str(state_folder), "--config", str(config))
    assert f"there is no list at {state_folder / 'farm.db'}" in run("backup", str(copy), *options, code=1)
    assert not state_folder.exists(), "the folder of a mistyped name is not made"
    state_folder.mkdir()
    with closing(JobList(f"sqlite:///{state_folder / 'farm.db'}", lambda: 1.0)) as jobs:
        jobs.put_file(FileFacts(sha256="0" * 64, size=1, name="a.gcode"))
        assert "has a copy of the list" in run("backup", str(copy), *options)
    with closing(JobList(f"sqlite:///{copy}", lambda: 1.0)) as jobs:
        assert jobs.file("0" * 64).name == "a.gcode"
    assert "name a new file" in run("backup", str(copy), *options, code=1)


def test_a_key_file_that_is_no_text_is_named(run, tmp_path):
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG")
    output = run("status", "--key-file", str(picture), code=1)
    assert f"nozzled: cannot read {picture}: it is not plain text" in output


def test_a_missing_farm_is_named(run, part, monkeypatch):
    monkeypatch.setenv("NOZZLED_FARM_URL", "http://127.0.0.1:1")
    assert "no farm answers at http://127.0.0.1:1: is `nozzled farm serve` running there?" in run("status", code=3)
    assert "has not become a job" in run("submit", part, code=3)
    assert "nothing.gcode: No such file" in run("submit", "/nothing.gcode", code=1)
