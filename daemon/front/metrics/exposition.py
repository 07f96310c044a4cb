"""The text for Prometheus, made from samples with prometheus-client. Imported at the first scrape."""

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

from daemon.front.metrics.families import FAMILIES, PREFIX
from daemon.front.metrics.samples import Buckets, MetricSample


class _SampleCollector(Collector):
    """A collector of ready samples."""

    def __init__(self, samples: Iterable[MetricSample]) -> None:
        self._samples = [*samples]

    def collect(self) -> Iterator[Metric]:
        """Yield the families that have samples."""
        for name, family in FAMILIES.items():
            samples = [each for each in self._samples if each.name == name]
            if not samples:
                continue
            metric = _KINDS[family.kind](PREFIX + name, family.doc, labels=family.labels)
            for each in samples:
                _add(metric, each)
            yield metric


_KINDS: dict[str, Callable[..., Metric]] = {
    "gauge": GaugeMetricFamily,
    "counter": CounterMetricFamily,
    "histogram": HistogramMetricFamily,
}


def _add(family: Metric, sample: MetricSample) -> None:
    value = sample.value
    if isinstance(value, Buckets) and isinstance(family, HistogramMetricFamily):
        bounds = [*map(repr, value.bounds), "+Inf"]
        family.add_metric(sample.labels, [*zip(bounds, accumulate(value.counts), strict=True)], value.total)
    elif not isinstance(value, Buckets) and isinstance(family, GaugeMetricFamily | CounterMetricFamily):
        family.add_metric(sample.labels, value)
    else:
        raise TypeError(sample)


def exposition(samples: Iterable[MetricSample], accept: str) -> tuple[bytes, str]:
    """Return the text, in the format that the Accept header prefers, and its content type."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_SampleCollector(samples))
    encoder, kind = choose_encoder(accept)
    return encoder(registry), kind
