"""A box with a real systemd, and wheels to install nozzled from."""

import fcntl
import os

import pytest

from support import systemd_box
from support.processes import cannot_run


@pytest.fixture(scope="session")
def wheels(tmp_path_factory):
    """The folder of wheels, made once for all workers."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder, begun = base / "wheels", base / "wheels-begun"
    with (base / "wheels-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            try:
                systemd_box.make_wheels(begun)
            except systemd_box.CannotRun as error:
                cannot_run(str(error))
            begun.rename(folder)
    return folder


@pytest.fixture
def box(tmp_path, wheels):
    try:
        with systemd_box.booted(tmp_path / "box") as box:
            systemd_box.bring_checkout(box, wheels)
            yield box
    except systemd_box.CannotRun as error:
        cannot_run(str(error))
