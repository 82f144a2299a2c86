"""Triton's endpoints and models in the metrics: numbered, like on the live page, unless their names are wanted.

Whoever reaches the health port learns how many there are and how they do, not where they are nor what they are called.
What is sent to a collector keeps the names.
"""

from collections.abc import Callable

from inferstream.settings import Settings
from inferstream.signals import Sample, Snapshot

Labels = tuple[tuple[str, str], ...]


def told(snapshot: Snapshot, settings: Settings) -> Snapshot:
    """What `/metrics` shows of it. An endpoint's number is its place in `triton.url`."""
    if settings.web.page_details:
        return snapshot
    urls = settings.triton.urls
    models: dict[tuple[str, str], str] = {}
    counted: dict[str, int] = {}

    def hidden(labels: Labels) -> Labels:
        known = dict(labels)
        if "endpoint" in known:
            url = known["endpoint"]
            known["endpoint"] = f"endpoint {urls.index(url) + 1 if url in urls else '?'}"
        if "model" in known:
            pipeline, (name, colon, version) = known.get("pipeline", ""), known["model"].partition(":")
            if (pipeline, name) not in models:
                counted[pipeline] = counted.get(pipeline, 0) + 1
                models[pipeline, name] = f"model {counted[pipeline]}"
            known["model"] = models[pipeline, name] + colon + version
        return tuple(known.items())

    return tuple(reading._replace(samples=_relabelled(reading.samples, hidden)) for reading in snapshot)


def _relabelled(samples: tuple[Sample, ...], hidden: Callable[[Labels], Labels]) -> tuple[Sample, ...]:
    return tuple(sample._replace(labels=hidden(sample.labels)) for sample in samples)
