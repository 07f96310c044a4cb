"""The server under test: our own daemon, or the OctoPrint that NOZZLED_CONFORMANCE_URL and _KEY name.

That OctoPrint needs a virtual printer (VIRTUAL), a key of an admin, and only files that may be deleted.
"""

import os

import pytest

from support.conformance import ServerUnderTest
from support.processes import TOKEN, ProcessGroup


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    if url := os.environ.get("NOZZLED_CONFORMANCE_URL"):
        yield ServerUnderTest(url, os.environ["NOZZLED_CONFORMANCE_KEY"])
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("support.processes.LIFETIME", 900.0)
        processes = ProcessGroup(tmp_path_factory.mktemp("conformance"))
        daemon = processes.daemon("--printer", "sim?speed=20")
    try:
        host, port = daemon.address
        yield ServerUnderTest(f"http://{host}:{port}", TOKEN)
    finally:
        processes.close()
