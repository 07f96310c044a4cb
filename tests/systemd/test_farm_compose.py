"""The example's containers of a farm: the files they read exist, where init puts them."""

from pathlib import Path

import yaml

from daemon.cli.farm_serve import FOLDER, PORT, STORE
from daemon.farm.nats_server.folder import CONF

EXAMPLE = Path(__file__).parents[2] / "examples/farm/compose.yaml"


def test_the_containers_read_the_files_of_init_and_the_shipped_ones():
    services = yaml.safe_load(EXAMPLE.read_text())["services"]
    nats = services["nats"]
    assert nats["command"] == ["-c", str(FOLDER / CONF)]
    assert nats["ports"] == [f"{PORT}:{PORT}"]
    assert nats["volumes"] == [f"{FOLDER}:{FOLDER}:ro", f"{STORE}:{STORE}"]  # under the names that are in nats.conf
    for service in services.values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert not source.startswith(".") or (EXAMPLE.parent / source).exists(), source
