import io
import json
import logging
import threading
from time import thread_time

import pytest
import structlog

from daemon import log as service_log
from daemon.log import Limiter, LogWriter, configure, secrets
from daemon.log.journal import PROCESSORS, JournalWriter
from support.waiting import TIMEOUT

pytestmark = pytest.mark.usefixtures("restored_logging")


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Stalled(io.StringIO):
    """A stream whose reader has stopped reading."""

    def __init__(self):
        super().__init__()
        self.go_on, self.reached = threading.Event(), threading.Event()

    def write(self, text):
        self.reached.set()
        self.go_on.wait(TIMEOUT)
        return super().write(text)


def written(stream, level="info", form="json", speak=lambda log: log.info("job.started", file="a.gcode", lines=3)):
    writer = configure(level, form, stream)
    speak(structlog.get_logger())
    writer.close()
    return stream.getvalue()


def test_a_json_line_can_be_read_back():
    text = written(io.StringIO())
    line = json.loads(text)
    assert text.count("\n") == 1
    assert {key: line[key] for key in ("event", "level", "file", "lines")} == {
        "event": "job.started", "level": "info", "file": "a.gcode", "lines": 3,
    }  # fmt: skip
    assert line["timestamp"].endswith("Z")


def test_text_of_a_printer_stays_on_its_line():
    text = written(io.StringIO(), speak=lambda log: log.warning("printer.said", text='a\nb"\x1b[2J'))
    assert text.count("\n") == 1
    assert "\x1b" not in text
    assert json.loads(text)["text"] == 'a\nb"\x1b[2J'


@pytest.mark.parametrize(("stream", "is_json"), [(Terminal(), False), (io.StringIO(), True)])
def test_auto_means_console_only_on_a_terminal(stream, is_json):
    assert written(stream, form="auto").startswith("{") == is_json


def test_console_without_a_terminal_has_no_colours():
    text = written(io.StringIO(), form="console")
    assert "job.started" in text
    assert "file=a.gcode" in text
    assert "\x1b" not in text


def test_entries_below_the_level_are_not_written():
    def speak(log):
        log.info("quiet")
        log.error("loud")

    assert "quiet" not in written(io.StringIO(), level="error", speak=speak)


def test_a_traceback_is_part_of_its_entry():
    def speak(log):
        log.error("job.bug", exc_info=RuntimeError("a mistake of ours"))

    line = json.loads(written(io.StringIO(), speak=speak))
    assert line["exception"][0]["exc_value"] == "a mistake of ours"


def test_warnings_of_libraries_are_logged_too():
    def speak(_log):
        logging.getLogger("tornado.general").warning("odd %s", "request")
        logging.getLogger("tornado.general").info("too much detail")

    line = json.loads(written(io.StringIO(), speak=speak))
    assert (line["event"], line["logger"], line["text"]) == ("library", "tornado.general", "odd request")
    assert line["level"] == "warning"


def test_a_stalled_stream_blocks_nothing_and_dropped_entries_are_counted(monkeypatch):
    monkeypatch.setattr(service_log, "MAX_QUEUED", 10)
    stream = Stalled()
    writer = LogWriter(stream)
    writer.msg("first")
    assert stream.reached.wait(TIMEOUT)
    for number in range(15):  # ten wait, five are dropped
        writer.msg(f"line {number}")
    stream.go_on.set()
    writer.close()
    lines = stream.getvalue().splitlines()
    assert lines == ["first", "(5 log lines were dropped)", *(f"line {number}" for number in range(10))]


def test_the_end_does_not_wait_for_a_stream_that_stalls_while_the_queue_is_full(monkeypatch):
    monkeypatch.setattr(service_log, "MAX_QUEUED", 3)
    monkeypatch.setattr(service_log, "CLOSE_TIMEOUT", 0.1)
    stream = Stalled()
    writer = LogWriter(stream)
    writer.msg("first")
    assert stream.reached.wait(TIMEOUT)
    for number in range(3):
        writer.msg(f"line {number}")
    end = threading.Thread(target=writer.close, daemon=True)
    end.start()
    end.join(TIMEOUT / 2)
    assert not end.is_alive()
    stream.go_on.set()


def test_a_stream_that_fails_ends_nothing():
    stream = io.StringIO()
    stream.close()
    writer = LogWriter(stream)
    writer.msg("nobody hears it")
    writer.close()
    assert not writer._thread.is_alive()


def test_a_flood_is_thinned_and_omitted_entries_are_counted():
    limiter = Limiter(limit=3, period=10.0)
    assert [limiter.admits(now) for now in (0.0, 0.1, 0.2, 0.3, 9.9)] == [True, True, True, False, False]
    assert limiter.admits(10.0)
    assert limiter.take_suppressed() == 2
    assert limiter.take_suppressed() == 0


@pytest.mark.parametrize("form", ["console", "json", "auto"])
def test_no_local_variable_of_a_failed_function_is_in_the_log(form):
    def speak(log):
        key = "a-key-that-nobody-may-see"
        try:
            int(f"no number, {len(key)} characters")
        except ValueError:
            log.exception("it failed")
            logging.getLogger("a.library").exception("so did this")

    text = written(io.StringIO(), "info", form, speak)
    assert text.count("25 characters") >= 2
    assert "a-key-that" not in text


GENERATED_KEY = "aB3-" + "x_Y7" * 9 + "zzz"


@pytest.mark.parametrize("form", ["json", "console", "journal"])
@pytest.mark.parametrize(
    "template",
    [
        "/api/job?apikey={}&x=1",
        "X-Api-Key: {}",
        "{{'X-Api-Key': '{}'}}",
        "Authorization: Bearer {}",
        "api_key={}",
        "it is {}",
    ],
)
def test_no_key_reaches_the_log(form, template, tmp_path):
    def speak(log):
        text = template.format(GENERATED_KEY)
        log.info("printer.said", text=text, more=[text])
        logging.getLogger("tornado.access").warning(text)
        try:
            float(text)
        except ValueError:
            log.exception("handler.failed")

    stream = io.StringIO()
    if form == "journal":
        path = tmp_path / "socket"
        writer = JournalWriter(stream, path)  # there is no listener: it goes to the stream
        structlog.configure(processors=[structlog.processors.add_log_level, *PROCESSORS], logger_factory=writer)
        speak(structlog.get_logger())
        writer.close()
        text = stream.getvalue()
    else:
        text = written(stream, form=form, speak=speak)
    assert "printer.said" in text
    assert "ValueError" in text
    assert GENERATED_KEY not in text
    assert "*" * len(GENERATED_KEY) in text


def test_a_known_key_is_hidden_without_a_label_and_other_words_are_not(monkeypatch):
    monkeypatch.setattr(secrets, "_KEYS", set())
    secrets.hide("my-own-key-of-16+")
    assert secrets.without_keys("a my-own-key-of-16+ b") == "a ***************** b"
    assert secrets.without_keys(b"my-own-key-of-16+") == b"*" * 17
    for harmless in ("a" * 43, "0123456789abcdef" * 4, "Benchy_0.2mm_PLA_MK3S_1h12m.gcode", "wrong_keys=3 address=::1"):
        assert secrets.without_keys(harmless) == harmless
        assert secrets.without_keys(harmless.encode()) == harmless.encode()


def test_hiding_keys_takes_time_proportional_to_the_line():
    for word in ("apikey=", "bearer ", "a", "aA1-", "x-api-key:  ", "api_key" + "!" * 3):
        began = thread_time()
        secrets.without_keys(word * (100_000 // len(word)))
        assert thread_time() - began < 0.5


def test_endless_warnings_of_a_library_are_thinned():
    def speak(_log):
        for _ in range(1000):
            logging.getLogger("asyncio").error("no descriptors")

    assert written(io.StringIO(), speak=speak).count("no descriptors") <= 20
