"""A PostgreSQL server for a test, with its data and its socket in a temporary folder; no other server is touched."""

import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

from support.processes import cannot_run, until
from support.waiting import TIMEOUT

PLACES = ("/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin", "/opt/homebrew/bin")


def programs():
    """Return the folder of `initdb` and `postgres`; None: PostgreSQL is not installed."""
    if (command := shutil.which("initdb")) and (Path(command).resolve().parent / "postgres").exists():
        return Path(command).resolve().parent
    folders = [path for place in PLACES for path in Path("/").glob(place[1:]) if (path / "initdb").exists()]
    return max(folders, default=None)


@contextmanager
def postgresql():
    """Run a server, and yield its URL."""
    folder = programs()
    if folder is None:
        cannot_run("PostgreSQL's initdb is not installed")
    try:
        import psycopg  # noqa: F401, PLC0415 - is it installed?
    except ImportError:
        cannot_run("psycopg is not installed: pip install nozzled[farm-postgresql]")
    user = _account() if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="nozzled-pg-") as where:
        if user is not None:
            os.chown(where, pwd.getpwnam(user).pw_uid, -1)
        data = Path(where) / "data"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "user": user, "cwd": where}
        subprocess.run([folder / "initdb", "-D", data, "-U", "farm", "-A", "trust", "-N"], check=True, **quiet)
        settings = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={where}", "-c", "fsync=off"]
        server = subprocess.Popen([folder / "postgres", "-D", data, *settings], **quiet)
        try:
            until(lambda: _listens(server, Path(where)), "PostgreSQL to listen")
            yield f"postgresql://farm@/postgres?host={where}"
        finally:
            server.terminate()
            server.wait(TIMEOUT)


def _account():
    """Return an account for the server: PostgreSQL refuses to run as root."""
    for name in ("postgres", "nobody"):
        with suppress(KeyError):  # asked by name: systemd's `nobody` is in no listing of the accounts
            return pwd.getpwnam(name).pw_name
    return cannot_run("PostgreSQL does not run as root, and there is no account postgres or nobody")


def _listens(server, where):
    assert server.poll() is None, "PostgreSQL has ended"
    import psycopg  # noqa: PLC0415 - as above

    try:
        psycopg.connect(host=str(where), user="farm", dbname="postgres").close()
    except psycopg.OperationalError:
        return False
    return True
