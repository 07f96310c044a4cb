"""Core and front in one process, with the bridge in memory: for tests on the virtual clock."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack

from daemon.bridge.memory import MemoryChannel
from daemon.config import Config
from daemon.core import core as core_building
from daemon.core.core import Core
from daemon.core.desk import Desk
from daemon.front import front as front_building
from daemon.front.front import Front
from daemon.systemd.descriptors import DescriptorStore
from gcode.frozen import mutable


@mutable
class CoreAndFront:
    """The two parts of one service."""

    core: Core
    front: Front


async def start(
    stack: AsyncExitStack,
    config: Config,
    environ: Mapping[str, str],
    wall: Callable[[], float],
    extra_ports: Sequence[str] = (),
    descriptors: DescriptorStore | None = None,
    switched_on: Collection[str] = (),
) -> CoreAndFront:
    """Start core and front without HTTP, and begin to connect; `stack` ends both, and first the running job.

    Raises:
        ServiceError: the state directory or a key cannot be used.
    """
    core = await core_building.begin_core(stack, config, environ, wall, extra_ports, descriptors)
    front = await front_building.begin(stack, core.config, environ, wall, MemoryChannel(Desk(core)), switched_on)
    return CoreAndFront(core, front)
