"""What in a model's configuration on Triton fights the service or has no use with it. Pure: a config in, words out.

The service plans batches by deadline and keeps its calls' timeouts itself. What the server does with calls on its own,
waiting, reordering or dropping them, is not in that plan.
"""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

_POLICY_STALL_MS = 500  # a queue policy switches prefetch off, and the batcher then sleeps so long unless it is woken
_TOO_MUCH_OF_SLO = 0.5


class Use(NamedTuple):
    """How a pipeline uses the model. `slo_ms`: of its tightest class; `version`: the pinned one, or empty."""

    pipeline: str
    slo_ms: float
    max_batch_size: int
    version: str = ""
    streams: bool = False
    is_warmed: bool = True
    """The service sends a row of zeros before the first event; it cannot where a size is open."""


class Advice(NamedTuple):
    """A `fail` keeps events from being scored in time, or at all; a `warn` costs something, or has no effect."""

    level: Literal["warn", "fail"]
    text: str


def advise(config: Any, use: Use) -> list[Advice]:
    """Everything in a ModelConfig that the pipeline's owner should know, the worst first."""
    found = [
        *_size(config, use),
        *_scheduling(config, use),
        *_version(config, use),
        *_instances(config),
        *_rest(config, use),
    ]
    return sorted(found, key=lambda advice: advice.level != "fail")


def capacity(config: Any) -> str:
    """Rows a call, and calls at once, in words."""
    groups = [group for group in config.instance_group if not group.passive]
    count = sum(group.count * max(1, len(group.gpus)) for group in groups)
    at_once = "one call at a time" if count == 1 else f"{count} calls at once, one an instance"
    if not count or any(_kind(group) == "KIND_MODEL" for group in groups):
        at_once = "as many calls at once as its backend decides"
    return f"up to {max(1, config.max_batch_size)} rows a call, {at_once}"


def _size(config: Any, use: Use) -> Iterator[Advice]:
    most = config.max_batch_size
    if 0 < most < use.max_batch_size and not use.streams:
        yield Advice(
            "warn",
            f"takes {most} rows at most, and calls have no more, "
            f"though pipelines.{use.pipeline}.batching.max_batch_size is {use.max_batch_size}",
        )


def _scheduling(config: Any, use: Use) -> Iterator[Advice]:
    if config.HasField("dynamic_batching"):
        yield from _dynamic_batching(config.dynamic_batching, config.max_batch_size, use)
    elif config.HasField("sequence_batching"):
        yield Advice(
            "fail",
            "sequence_batching: it wants a correlation id with every request, which a stream of independent events has "
            "not; each call is refused. Use dynamic_batching",
        )
    elif config.HasField("ensemble_scheduling"):
        steps = ", ".join(f"'{step.model_name}'" for step in config.ensemble_scheduling.step)
        yield Advice(
            "warn",
            f"an ensemble of {steps}: each step queues and batches as its own configuration says, not seen here",
        )


def _dynamic_batching(batching: Any, max_batch_size: int, use: Use) -> Iterator[Advice]:
    delay_ms = batching.max_queue_delay_microseconds / 1000
    if delay_ms > 0:
        level: Literal["warn", "fail"] = "fail" if delay_ms >= _TOO_MUCH_OF_SLO * use.slo_ms else "warn"
        yield Advice(
            level,
            f"dynamic_batching.max_queue_delay_microseconds lets a call wait up to {delay_ms:g} ms for others, "
            f"{delay_ms / use.slo_ms:.0%} of the deadline of {use.slo_ms:g} ms; calls come batched already: remove it",
        )
    preferred = list(batching.preferred_batch_size)
    if preferred and preferred != [max_batch_size]:  # Triton itself fills in the largest size where none is named
        yield Advice(
            "warn",
            f"dynamic_batching.preferred_batch_size {preferred} has no use: batches are as large as the deadlines "
            "allow; remove it",
        )
    if policies := _queue_policies(batching):
        yield Advice(
            "fail" if use.slo_ms <= 2 * _POLICY_STALL_MS else "warn",
            f"dynamic_batching.{', '.join(policies)}: with any of them Triton may hold a call for "
            f"{_POLICY_STALL_MS} ms; timeouts and SLO classes are kept by the service: remove them",
        )
    if batching.preserve_ordering:
        yield Advice(
            "warn",
            "dynamic_batching.preserve_ordering lets an answer wait for slower ones before it; outcomes are put in "
            "order by the service: remove it",
        )


def _queue_policies(batching: Any) -> list[str]:
    """The settings that make Triton's queue more than first in, first out."""
    default = batching.default_queue_policy
    found = {
        "priority_levels": batching.priority_levels > 0,
        "default_queue_policy.default_timeout_microseconds": default.default_timeout_microseconds > 0,
        "default_queue_policy.allow_timeout_override": default.allow_timeout_override,
        "default_queue_policy.max_queue_size": default.max_queue_size > 0,
        "priority_queue_policy": len(batching.priority_queue_policy) > 0,
    }
    return [name for name, is_set in found.items() if is_set]


def _version(config: Any, use: Use) -> Iterator[Advice]:
    policy = config.version_policy
    kind = policy.WhichOneof("policy_choice")
    if not use.version:
        if kind == "all" or (kind == "latest" and policy.latest.num_versions > 1):
            yield Advice("warn", "version_policy serves several versions, and none is named: the newest answers")
        return
    wanted = f"pipelines.{use.pipeline} wants version {use.version}"
    if kind == "specific" and use.version not in (served := [str(version) for version in policy.specific.versions]):
        yield Advice("fail", f"version_policy serves only {', '.join(served)}, and {wanted}: add it")
    elif kind in (None, "latest"):
        count = max(1, policy.latest.num_versions)
        newest = "the newest version" if count == 1 else f"the newest {count} versions"
        yield Advice(
            "warn",
            f"version_policy serves only {newest}, and {wanted}: a newer one in the repository takes it away; "
            f"write version_policy {{ specific {{ versions: {use.version} }} }}",
        )


def _instances(config: Any) -> Iterator[Advice]:
    groups = list(config.instance_group)
    if groups and all(group.passive for group in groups):
        yield Advice("fail", "instance_group: all are passive, so no call is ever answered: remove `passive`")
    many = sum(group.count for group in groups if _kind(group) == "KIND_CPU")
    if many > 1:
        yield Advice(
            "warn",
            f"instance_group: {many} instances on the CPU share its cores, so each is slower while others work; "
            "that is worth it only where cores are idle",
        )
    if any(len(group.rate_limiter.resources) or group.rate_limiter.priority for group in groups):
        yield Advice("warn", "instance_group.rate_limiter holds calls back by rules that the plan does not know")


def _rest(config: Any, use: Use) -> Iterator[Advice]:
    if config.response_cache.enable:
        yield Advice(
            "warn",
            "response_cache: calls are batches that hardly ever repeat, so it costs a hash of each and is seldom hit: "
            "remove it",
        )
    if ragged := [tensor.name for tensor in config.input if tensor.allow_ragged_batch]:
        yield Advice(
            "warn", f"allow_ragged_batch of input '{ragged[0]}' has no use: the rows of a call have equal shapes"
        )
    if not config.model_warmup and not config.HasField("ensemble_scheduling"):
        more = (
            "one row of zeros is sent at start, larger batches are not"
            if use.is_warmed
            else "and none can be sent here"
        )
        yield Advice("warn", f"no model_warmup ({more}): the first calls after a load may take long; add one")


def _kind(group: Any) -> str:
    return str(group.Kind.Name(group.kind))
