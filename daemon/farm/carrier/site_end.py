"""A site's end: what it asks the hub, over the leaf node of its own NATS."""

from nats.aio.client import Client
from nats.aio.msg import Msg

from daemon.farm.carrier.connect import NatsAddress, NatsConnection
from daemon.farm.carrier.errors import FarmRefused, FarmUnreachable
from daemon.farm.carrier.subjects import REFUSED, TROUBLE, site_inbox

PATIENCE = 15.0  # s for an answer, over whatever lies between


class NatsSiteEnd:
    """Asks the hub (HubLane)."""

    def __init__(self, site: str, address: NatsAddress) -> None:
        """Prepare.

        Args:
            site: its id.
            address: of the site's own NATS; the inbox is the one that the hub lets answers through to.
        """
        self._site = site
        own = NatsAddress(address.urls, address.seed, address.tls, site_inbox(site))
        self._line = NatsConnection(own, f"nozzled farm, site {site}", _nothing)

    async def run(self) -> None:
        """Stay connected until cancelled."""
        await self._line.run()

    async def ask(self, kind: str, body: bytes) -> bytes:
        """Return the hub's answer; raises FarmUnreachable, FarmRefused."""
        answer = await self._line.ask(f"farm.site.{self._site}.{kind}", body, PATIENCE)
        return answered(answer)


def answered(answer: Msg) -> bytes:
    """Return what an answer holds; raises FarmRefused or FarmUnreachable where it is none."""
    headers = answer.headers or {}
    if refused := headers.get(REFUSED):
        raise FarmRefused(refused)
    if trouble := headers.get(TROUBLE):
        raise FarmUnreachable(f"the farm's server is in trouble: {trouble}")
    return bytes(answer.data)


async def _nothing(client: Client) -> None:
    """Subscribe to nothing: only answers are heard."""
