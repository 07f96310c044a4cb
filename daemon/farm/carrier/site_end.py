"""A site's end: questions to the hub, over the leaf node of the site's own NATS."""

from nats.aio.client import Client
from nats.aio.msg import Msg

from daemon.farm.carrier.connect import NatsAddress, NatsConnection
from daemon.farm.carrier.errors import FarmRefused, FarmUnreachable
from daemon.farm.carrier.subjects import REFUSED, TROUBLE, site_inbox

ANSWER_TIMEOUT = 15.0  # for an answer: there may be a slow network between site and hub


class NatsSiteEnd:
    """Asks the hub (HubConnection)."""

    def __init__(self, site: str, address: NatsAddress) -> None:
        """Prepare.

        Args:
            site: id of the site.
            address: of the site's own NATS. Its inbox is replaced by the one to which the hub may send answers.
        """
        self._site = site
        own = NatsAddress(address.urls, address.seed, address.tls, site_inbox(site))
        self._connection = NatsConnection(own, f"nozzled farm, site {site}", _subscribe_to_nothing)

    async def run(self) -> None:
        """Stay connected until cancelled."""
        await self._connection.run()

    async def ask(self, kind: str, body: bytes) -> bytes:
        """Return the hub's answer; raises FarmUnreachable, FarmRefused."""
        answer = await self._connection.ask(f"farm.site.{self._site}.{kind}", body, ANSWER_TIMEOUT)
        return read_answer(answer)


def read_answer(answer: Msg) -> bytes:
    """Return the body of an answer; raises FarmRefused or FarmUnreachable if its headers say so."""
    headers = answer.headers or {}
    if refusal := headers.get(REFUSED):
        raise FarmRefused(refusal)
    if trouble := headers.get(TROUBLE):
        raise FarmUnreachable(f"the farm's server is in trouble: {trouble}")
    return bytes(answer.data)


async def _subscribe_to_nothing(client: Client) -> None:
    """Subscribe to nothing: a site only gets answers."""
