import io
import os
import socket

import pytest
import structlog

from daemon import log as service_log
from daemon.log import journal
from support.waiting import TIMEOUT


@pytest.fixture
def journald(tmp_path):
    """Where entries arrive."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.settimeout(TIMEOUT)
        yield listener


@pytest.fixture(autouse=True)
def no_context(restored_logging, monkeypatch):
    monkeypatch.setattr(journal, "context", dict)


def fields(data):
    """Parse an entry as journald does."""
    entry = {}
    while data:
        name, separator, rest = data.partition(b"\n")
        if b"=" in name:
            name, _, value = name.partition(b"=")
            data = rest
        else:
            size = int.from_bytes(rest[:8], "little")
            assert separator
            assert rest[8 + size : 9 + size] == b"\n"
            value, data = rest[8 : 8 + size], rest[9 + size :]
        entry[name.decode()] = value.decode()
    return entry


def written(journald, tmp_path, speak, stream=None):
    """Return what arrives when this is logged."""
    writer = journal.JournalWriter(stream or io.StringIO(), tmp_path / "socket")
    processors = [structlog.processors.add_log_level, *journal.PROCESSORS]
    structlog.configure(processors=processors, logger_factory=writer, cache_logger_on_first_use=False)
    speak(structlog.get_logger())
    writer.close()
    return fields(journald.recv(200_000)) if journald else None


def test_an_entry_is_a_sentence_with_fields(journald, tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "context", lambda: {"JOB_ID": 12, "PRINTER": "serial:/dev/ttyACM0", "NONE": None})
    entry = written(journald, tmp_path, lambda log: log.warning("job.ended", outcome="FAILED", lines=3))
    assert entry == {
        "MESSAGE": "job.ended outcome='FAILED' lines=3",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "nozzled",
        "NOZZLED_EVENT": "job.ended",
        "JOB_ID": "12",
        "PRINTER": "serial:/dev/ttyACM0",
    }


def test_a_printer_cannot_write_fields_of_its_own(journald, tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "context", lambda: {"PRINTER": "sim\nPRIORITY=0"})
    entry = written(journald, tmp_path, lambda log: log.info("printer.said", text="a\nPRIORITY=0\nb"))
    assert entry["PRIORITY"] == "6"
    assert entry["MESSAGE"] == r"printer.said text='a\nPRIORITY=0\nb'"
    assert entry["PRINTER"] == "sim\nPRIORITY=0"


def test_a_traceback_keeps_its_lines(journald, tmp_path):
    entry = written(journald, tmp_path, lambda log: log.error("job.bug", exc_info=RuntimeError("a mistake of ours")))
    assert entry["MESSAGE"].startswith("job.bug")
    assert entry["MESSAGE"].endswith("\nRuntimeError: a mistake of ours")
    assert entry["PRIORITY"] == "3"


def test_a_huge_entry_arrives_cut(journald, tmp_path):
    entry = written(journald, tmp_path, lambda log: log.info("printer.lost", last_lines=["ü" * 1_000_000]))
    assert len(entry["MESSAGE"]) == journal.MAX_MESSAGE


def test_entries_go_to_the_stream_if_journald_is_missing(tmp_path):
    stream = io.StringIO()
    written(None, tmp_path, lambda log: log.info("job.started"), stream)
    assert "MESSAGE=job.started" in stream.getvalue()


def test_the_log_recognises_whether_it_goes_to_the_journal(tmp_path, monkeypatch, journald):
    monkeypatch.setattr(journal, "SOCKET", tmp_path / "socket")
    with (tmp_path / "file").open("w") as stream:
        inode = os.fstat(stream.fileno())
        assert not journal.is_journal(stream, {})
        assert not journal.is_journal(stream, {"JOURNAL_STREAM": "1:1"})
        assert not journal.is_journal(io.StringIO(), {"JOURNAL_STREAM": "1:1"})
        monkeypatch.setenv("JOURNAL_STREAM", f"{inode.st_dev}:{inode.st_ino}")
        assert journal.is_journal(stream)
        for form, kind in [("auto", journal.JournalWriter), ("json", service_log.LogWriter)]:
            writer = service_log.configure("info", form, stream)
            assert type(writer) is kind
            writer.close()
        (tmp_path / "socket").unlink()
        assert not journal.is_journal(stream), "as in a container: there is no journal to write to"


def test_a_level_set_later_applies_to_existing_loggers(journald, tmp_path):
    def speak(log):
        service_log.set_level("error")
        log.info("quiet")
        log.error("loud")

    assert written(journald, tmp_path, speak)["MESSAGE"] == "loud"
