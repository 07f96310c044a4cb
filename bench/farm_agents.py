"""Many agents in one process, each with a printer in memory; a share of them is killed at any step. For `bench farm`.

python -m bench.farm_agents URL COUNT PRINT_SECONDS KILLED FOLDER: until SIGTERM, then prints what happened as JSON.
"""

import asyncio
import json
import random
import resource
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import structlog

from daemon.companions.farm.agent import Agent
from daemon.farm.carrier.agent_end import NatsAgentEnd
from daemon.farm.carrier.connect import NatsAddress
from tests.support.farm_printer import AgentLife, FakePrinter, Killed

SERVER_CALLS = ("fetch_chunk", "renew", "claim", "fetch_holdings", "report")
PRINTER_CALLS = ("has_file", "upload", "find_objections", "get_newest_job", "start", "get_outcome", "cancel", "remove")
MAX_STEPS = 300  # an agent that is chosen to be killed is killed within so many steps
RESTART_DELAY = 2.0  # s from a kill until the agent starts again
CLEAR_DELAY = 0.5  # s from the end of a print until the bed is cleared
START_INTERVAL = 0.005  # s between the starts of two agents


class TimedPrinter(FakePrinter):
    """Notes how long it was ready before each print began."""

    def __init__(self, seconds: float, waits: list[float]) -> None:
        super().__init__(seconds, clears_after=CLEAR_DELAY)
        self._waits, self._ready = waits, time.monotonic()

    def _clear(self) -> None:
        self._ready = time.monotonic()
        super()._clear()

    def _begin(self, key: str, started_key: str) -> None:
        self._waits.append(time.monotonic() - self._ready)
        super()._begin(key, started_key)


class Crowd:
    """All agents with their printers."""

    def __init__(self, url: str, count: int, seconds: float, share: float, folder: Path) -> None:
        self._url, self._share, self._folder = url, share, folder
        self.waits: list[float] = []
        self.kills: Counter[str] = Counter()
        self.printers = [TimedPrinter(seconds, self.waits) for _ in range(count)]

    async def run(self) -> None:
        """Run them until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number, printer in enumerate(self.printers):
                group.create_task(self._live(f"p{number}", printer))
                await asyncio.sleep(START_INTERVAL)

    async def _live(self, name: str, printer: TimedPrinter) -> None:
        folder = self._folder / name
        folder.mkdir(parents=True)
        chance = random.Random(name)
        while True:
            end, api, life = NatsAgentEnd(name, NatsAddress((self._url,))), printer, None
            if chance.random() < self._share:
                life = AgentLife(chance.randrange(MAX_STEPS))
            if life is None:
                agent = Agent(end, api, folder, time.time)
            else:
                agent = Agent(life.wrap(end, *SERVER_CALLS), life.wrap(api, *PRINTER_CALLS), folder, time.time)
                life.wrap_notes(agent._diary)  # noqa: SLF001 - a kill in the middle of its notes
            try:
                await agent.run()
            except BaseExceptionGroup as group:
                if (others := group.split(Killed)[1]) is not None:
                    raise others from None
            assert life is not None
            self.kills[life.last.split()[0]] += 1
            await asyncio.sleep(RESTART_DELAY)

    def summary(self) -> dict[str, object]:
        """Return what happened."""
        begun = Counter(key.rpartition(".")[0] for printer in self.printers for key in printer.begun)
        waits = sorted(self.waits[len(self.printers) :]) or [0.0]  # the first of each waits for its connection
        return {
            "begun": sum(begun.values()),
            "twice": sum(times - 1 for times in begun.values()),
            "refused": sum(len(printer.refusals) for printer in self.printers),
            "killed": sum(self.kills.values()),
            "p50": waits[len(waits) // 2],
            "p99": waits[int(len(waits) * 0.99)],
            "longest": waits[-1],
            "cpu": sum(resource.getrusage(resource.RUSAGE_SELF)[:2]),
            "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "copies": [*begun],
        }


async def _main(arguments: list[str]) -> None:
    url, count, seconds, share, folder = arguments
    crowd = Crowd(url, int(count), float(seconds), float(share), Path(folder))
    running = asyncio.ensure_future(crowd.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    with suppress(asyncio.CancelledError):
        await running
    sys.stdout.write(json.dumps(crowd.summary()))


if __name__ == "__main__":
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))  # thousands are killed
    asyncio.run(_main(sys.argv[1:]))
