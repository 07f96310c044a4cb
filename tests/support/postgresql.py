"""A PostgreSQL of the test's own, in a folder with its socket; others on this machine are left alone."""

import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

from support.processes import cannot_run, until
from support.waiting import PATIENCE

PLACES = ("/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin", "/opt/homebrew/bin")


def programs():
    """Return the folder of `initdb` and `postgres`; None if there is none."""
    if (named := shutil.which("initdb")) and (Path(named).resolve().parent / "postgres").exists():
        return Path(named).resolve().parent
    found = [path for place in PLACES for path in Path("/").glob(place[1:]) if (path / "initdb").exists()]
    return max(found, default=None)


@contextmanager
def postgresql():
    """Run a PostgreSQL; yields its URL."""
    folder = programs()
    if folder is None:
        cannot_run("PostgreSQL's initdb is not installed")
    try:
        import psycopg  # noqa: F401, PLC0415 - is it there?
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
            server.wait(PATIENCE)


def _account():
    """Return an account for it: PostgreSQL refuses to run as root."""
    accounts = {each.pw_name for each in pwd.getpwall()}
    found = next((name for name in ("postgres", "nobody") if name in accounts), None)
    if found is None:
        cannot_run("PostgreSQL does not run as root, and there is no account postgres or nobody")
    return found


def _listens(server, where):
    assert server.poll() is None, "PostgreSQL has ended"
    import psycopg  # noqa: PLC0415 - as above

    try:
        psycopg.connect(host=str(where), user="farm", dbname="postgres").close()
    except psycopg.OperationalError:
        return False
    return True
