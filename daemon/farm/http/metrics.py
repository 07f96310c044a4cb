"""/metrics: the farm's metrics, for Prometheus. No label contains the name of a file, a job or a printer."""

from collections import Counter
from collections.abc import Iterator

from daemon.farm.http.base import FarmHandler
from daemon.farm.http.views import is_orphan, printer_views
from daemon.farm.list.job_list import JobList
from daemon.farm.list.values import COPY_STATES, FarmCopy

STATES = ("ready", "printing", "on_hold", "not_ready", "away")
"""States of a printer in the metrics."""


class FarmMetricsHandler(FarmHandler):
    """/metrics."""

    async def get(self) -> None:
        """Answer with the metrics."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415 - only if scraped
        from prometheus_client.exposition import choose_encoder  # noqa: PLC0415 - as above
        from prometheus_client.registry import Collector, CollectorRegistry  # noqa: PLC0415 - as above

        def read(jobs: JobList) -> tuple[dict[str, int], list[FarmCopy], int]:
            return jobs.count_copies(), jobs.all_held_copies(), jobs.count_claims()

        counts, held, claims = await self.ask(read)
        printers = self._printers(held)
        orphans = sum(is_orphan(copy, self.farm.printers) for copy in held)
        reachable = not self.farm.printers.trouble

        class FarmCollector(Collector):
            """Exposes the values read above."""

            def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
                """Yield the families."""
                copies = GaugeMetricFamily("nozzled_farm_copies", "Copies by state.", labels=["state"])
                for state in COPY_STATES:
                    copies.add_metric([state], counts.get(state, 0))
                yield copies
                by_state = GaugeMetricFamily("nozzled_farm_printers", "Printers by state.", labels=["state"])
                for each in STATES:
                    by_state.add_metric([each], printers[each])
                yield by_state
                yield GaugeMetricFamily(
                    "nozzled_farm_orphans", "Copies that have begun at silent printers.", value=orphans
                )
                yield CounterMetricFamily("nozzled_farm_claims", "Claims that were granted.", value=claims)
                yield GaugeMetricFamily("nozzled_farm_nats_up", "1 while NATS can be reached.", value=int(reachable))

        registry = CollectorRegistry(auto_describe=False)
        registry.register(FarmCollector())
        encoder, kind = choose_encoder(self.request.headers.get("Accept", ""))
        self.set_header("Content-Type", kind)
        self.write(encoder(registry))

    def _printers(self, held: list[FarmCopy]) -> Counter[str]:
        """Count the printers by state."""
        counts = Counter[str]()
        for view in printer_views(self.farm.printers, held, self.farm.wall()).values():
            if view.away:
                state = "away"
            elif view.file:
                state = "printing"
            elif view.on_hold:
                state = "on_hold"
            else:
                state = "ready" if view.ready else "not_ready"
            counts[state] += 1
        return counts
