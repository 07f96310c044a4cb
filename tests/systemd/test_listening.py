"""The addresses of HTTP, from the configuration by a systemd generator; whether the installer reaches its index."""

import socket
from contextlib import closing
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from daemon.config import Config, merge
from daemon.front import main as front

SYSTEMD = Path(__file__).parents[2] / "systemd"


def loaded(name):
    """Return a script of the installation as a module."""
    loader = SourceFileLoader(name.replace("-", "_"), str(SYSTEMD / name))
    module = module_from_spec(spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def no_byte_code(monkeypatch):
    """Loading leaves no files beside the scripts."""
    monkeypatch.setattr("sys.dont_write_bytecode", True)


def drop_in(folder, text):
    """Run the generator on a configuration; return the drop-in, None if it writes none."""
    config = folder / "nozzled.toml"
    if text is not None:
        config.write_text(text)
    generator = loaded("listen-as-configured")
    assert generator.main(str(folder / "out"), "early", "late", config=config) == 0
    path = folder / "out" / generator.DROP_IN
    return path.read_text() if path.exists() else None


@pytest.mark.parametrize(
    ("text", "listens"),
    [
        ('[http]\nhost = "0.0.0.0"', "0.0.0.0:5000"),
        ('http.host = "::"\nhttp.port = 80', "[::]:80"),
        ('http = { host = "192.168.1.5", port = 8080 }', "192.168.1.5:8080"),
        ("[http]\nport = 81", "127.0.0.1:81"),
        ('[http]\nhost = "localhost"\nport = 81', "127.0.0.1:81"),
        ('[http]\nhost = "0.0.0.0"\nport = 0', "0.0.0.0:5000"),
    ],
)
def test_the_socket_listens_as_configured(tmp_path, text, listens):
    assert drop_in(tmp_path, text).splitlines()[-4:] == [
        "[Socket]", "ListenStream=", f"ListenStream={listens}", "FreeBind=yes",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", '[http]\nhost = "127.0.0.1"\nport = 5000', '[printer]\naddress = "sim"'])
def test_the_default_address_needs_no_drop_in(tmp_path, text, capsys):
    assert drop_in(tmp_path, text) is None
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "text",
    [
        None, "[http", '[http]\nport = "80"', "[http]\nport = 70000", "[http]\nport = true", "[http]\nhost = 1",
        '[http]\nhost = "printer.local"', '[http]\nhost = "0.0.0.0\\nListenStream=1"', "http = 1",
    ],
)  # fmt: skip
def test_a_malformed_configuration_listens_only_for_this_computer(tmp_path, text, capsys):
    assert drop_in(tmp_path, text) is None
    assert "listens only for this computer" in capsys.readouterr().err


def test_the_index_is_the_one_configured_for_pip(tmp_path):
    find = loaded("reach-index").index
    assert find({}, tmp_path, tmp_path) == "https://pypi.org/simple"
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/pip.conf").write_text("[global]\nindex-url = https://mirror/simple\nextra-index-url = https://x\n")
    assert find({}, tmp_path / "home", tmp_path) == "https://mirror/simple"
    assert find({"PIP_INDEX_URL": "https://other"}, tmp_path / "home", tmp_path) == "https://other"
    assert find({"PIP_NO_INDEX": "1"}, tmp_path / "home", tmp_path) is None


def test_an_index_that_does_not_answer_is_reported_at_once(monkeypatch, capsys):
    reach = loaded("reach-index")
    monkeypatch.setattr(reach, "getproxies", dict)
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/simple"
        monkeypatch.setattr(reach, "index", lambda *_: url)
        assert reach.main() == 0
    assert reach.main() == 1
    assert capsys.readouterr().err.startswith("nozzled: 127.0.0.1 cannot be reached: ")
    monkeypatch.setattr(reach, "index", lambda *_: "file:///srv/packages")
    assert reach.main() == 0


@pytest.mark.parametrize(
    ("host", "listens", "is_logged"),
    [
        ("0.0.0.0", "127.0.0.1", True),
        ("0.0.0.0", "0.0.0.0", False),
        ("localhost", "127.0.0.1", False),
        ("127.0.0.1", "::", False),
    ],
)
def test_an_address_not_yet_applied_by_systemd_is_logged(host, listens, is_logged):
    listening = SimpleNamespace(host=listens, port=5000)
    with capture_logs() as logs:
        front.warn_if_elsewhere(merge(Config(), {"http": {"host": host}}, "test"), listening)
    assert [each["event"] for each in logs] == ["http.not_as_configured"] * is_logged
