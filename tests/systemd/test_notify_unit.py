"""The unit of `nozzled notify` on a real systemd: it has what it needs, and no access to other units' files."""

import pytest

from support import systemd_box

RECEIVER = """
import http.server
class Taken(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open("/tmp/taken", "ab") as file:
            file.write(self.headers["Nozzled-Signature"].encode() + b" " + body + b"\\n")
        self.send_response_only(204)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", 8099), Taken).serve_forever()
"""
TARGETS = "home webhook:http://127.0.0.1:8099/secret-path 0123456789abcdef0123456789abcdef\n"


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_messages_leave_from_inside_the_unit(box):
    systemd_box.configure(box)
    systemd_box.install(box)
    assert box.run("systemctl", "is-enabled", "nozzled-notify.service", check=False) == "disabled"
    (box.folder / "receiver.py").write_text(RECEIVER)
    box.run("systemd-run", "--unit", "receiver", "python3", systemd_box.SHARED / "receiver.py")
    box.shell("printf '[notify]\\n' >>/etc/nozzled.toml")
    box.run("systemctl", "restart", "nozzled-front.service")
    box.run("systemctl", "enable", "--now", "nozzled-notify.service")

    def status():
        return box.run("nozzled", "notify", "status", check=False)

    box.until(lambda: "/etc/nozzled.notify-targets" in status(), "it to say where its targets come from")
    (box.folder / "targets").write_text(TARGETS)
    box.shell(f"install -m 600 {systemd_box.SHARED}/targets /etc/nozzled.notify-targets")
    box.run("systemctl", "restart", "nozzled-notify.service")
    box.until(lambda: "webhook" in status(), "its target")
    assert box.run("nozzled", "notify", "test") == "home: sent"
    assert '"kind": "test"' in box.run("cat", "/tmp/taken")
    assert "secret-path" not in box.journal() + status()
    # its state is private, and outlives it
    box.run("systemctl", "restart", "nozzled-notify.service")
    assert "outbox.json" in box.run("ls", "/var/lib/private/nozzled-companion/notify/")
    pid = box.main_pid("nozzled-notify.service")
    assert box.run("stat", "-c", "%U", f"/proc/{pid}") not in ("root", "nozzled")
    listing = box.run(
        "nsenter", "-t", str(pid), "-m", "-U", "--preserve-credentials", "ls", "/var/lib/nozzled", check=False
    )
    assert "nozzled.db" not in listing
    assert "api-key" in box.run("ls", "/var/lib/nozzled")
