"""plan: how many pods, partitions and model instances a load needs, from what a batch takes.

A batch of `rows` takes alpha + beta * rows. An event that has just missed one waits until an instance frees, and then
rides in the next: both must fit the SLO, so the SLO limits the batch, and the batch the rate of an instance. Each pod
has a Triton of its own; several pods that share one waste much of it under overload.
"""

import json
import math
from typing import NamedTuple

from inferstream.errors import SettingsError

_CALL_MS = 0.7  # of a call outside the model, as the batcher reckons
_SAFETY = 1.3  # a batch seldom takes longer than this times its mean; the batcher's own first guess


class Model(NamedTuple):
    """What was measured of one instance, milliseconds, and the most rows of a call."""

    alpha_ms: float
    beta_ms: float
    max_batch: int
    instances: int = 1
    """In each Triton."""


class Load(NamedTuple):
    """Events a second at the peak, and the time they have. `reserve_ms` goes to Kafka, before and after."""

    rate: float
    slo_ms: float
    reserve_ms: float


class Margin(NamedTuple):
    """What is kept free: a share of every instance, whole pods, and partitions for so many times the pods.

    `process_rate` is what one process was measured to handle whatever the model, events a second.
    """

    headroom: float = 0.3
    spare: int = 1
    growth: int = 2
    process_rate: float | None = None


class Plan(NamedTuple):
    """The answer. `instance_rate` is what an instance scores in time, events a second."""

    batch: int
    instance_rate: float
    instances: int
    replicas: int
    partitions: int
    limited_by: str
    utilisation: float
    """Of the instances at the peak, with all replicas there."""


def plan(load: Load, model: Model, margin: Margin) -> Plan:
    """Raises SettingsError if not even one row fits the SLO."""
    batch = _largest_batch(load, model)
    instance_rate = 1000 * batch / (model.alpha_ms + model.beta_ms * batch)
    usable = 1 - margin.headroom
    by_model = math.ceil(load.rate / (usable * instance_rate * model.instances))
    by_process = math.ceil(load.rate / (usable * margin.process_rate)) if margin.process_rate else 0
    replicas = max(by_model, by_process) + margin.spare
    instances = replicas * model.instances
    return Plan(
        batch,
        instance_rate,
        instances,
        replicas,
        replicas * margin.growth,
        "model" if by_model >= by_process else "process",
        load.rate / (instances * instance_rate),
    )


def _largest_batch(load: Load, model: Model) -> int:
    budget_ms = (load.slo_ms - load.reserve_ms - _CALL_MS) / (_SAFETY * (1 + 1 / model.instances))
    rows = (budget_ms - model.alpha_ms) / model.beta_ms
    if rows < 1:
        least = load.reserve_ms + _CALL_MS + _SAFETY * (1 + 1 / model.instances) * (model.alpha_ms + model.beta_ms)
        raise SettingsError(
            f"an SLO of {load.slo_ms:g} ms is too tight for this model: one row alone needs {least:.3g} ms; "
            "raise the SLO, lower --reserve-ms, or take a faster model"
        )
    return min(int(rows), model.max_batch)


def show_plan(load: Load, model: Model, margin: Margin, as_json: bool) -> None:
    """Print it, and the chart's values for it."""
    made = plan(load, model, margin)
    if as_json:
        print(json.dumps(made._asdict()))
        return
    what = "the model" if made.limited_by == "model" else "the rate of a process"
    print(f"batches   up to {made.batch} rows, so that {load.slo_ms:g} ms are kept")
    print(
        f"instance  {made.instance_rate:,.0f} events/s in time; {made.instances} of them, {made.utilisation:.0%} busy"
    )
    print(f"pods      {made.replicas}, of them {margin.spare} spare; {what} decides")
    if margin.process_rate is None:
        print("          what one process handles was not considered: measure it and say --process-rate")
    print(f"\nreplicaCount: {made.replicas}\nkafka: {{partitions: {made.partitions}}}")
