"""What is said of a model's configuration: the shipped ones' nothing, each setting that fights the service by name."""

from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from inferstream.local.stack import shipped_models
from inferstream.triton.advice import Use, advise, capacity

USE = Use("fraud", slo_ms=50, max_batch_size=256)
WARM = 'model_warmup { name: "zeros" }'


def config(text: str) -> model_config_pb2.ModelConfig:
    return text_format.Parse(f"max_batch_size: 1024 {WARM} {text}", model_config_pb2.ModelConfig())


GOOD = config("dynamic_batching {} instance_group { count: 1 kind: KIND_CPU }")


def test_a_plain_model_needs_no_advice() -> None:
    assert advise(GOOD, USE) == []


def test_what_triton_fills_in_itself_is_no_mistake() -> None:
    filled = config("dynamic_batching { preferred_batch_size: 1024 } version_policy { latest { num_versions: 1 } }")
    assert advise(filled, USE) == []


@pytest.mark.parametrize("file", sorted(shipped_models().glob("*/config.pbtxt")), ids=lambda f: f.parent.name)
def test_the_shipped_models_need_none(file: Path) -> None:
    shipped = text_format.Parse(file.read_text(), model_config_pb2.ModelConfig())
    use = Use("any", 50, min(256, shipped.max_batch_size or 1), streams=shipped.model_transaction_policy.decoupled)
    assert [advice for advice in advise(shipped, use) if "no model_warmup" not in advice.text] == []


@pytest.mark.parametrize(
    ("text", "level", "said"),
    [
        ("dynamic_batching { max_queue_delay_microseconds: 5000 }", "warn", "up to 5 ms for others, 10% of the"),
        ("dynamic_batching { max_queue_delay_microseconds: 25000 }", "fail", "up to 25 ms for others, 50% of the"),
        ("dynamic_batching { preferred_batch_size: [8, 16] }", "warn", "preferred_batch_size [8, 16] has no use"),
        ("dynamic_batching { priority_levels: 2 default_priority_level: 1 }", "fail", "priority_levels: with any"),
        ("dynamic_batching { default_queue_policy { max_queue_size: 9 } }", "fail", "policy.max_queue_size: with any"),
        (
            "dynamic_batching { default_queue_policy { default_timeout_microseconds: 9 allow_timeout_override: 1 } }",
            "fail",
            "default_timeout_microseconds, default_queue_policy.allow_timeout_override: with any",
        ),
        (
            "dynamic_batching { priority_queue_policy { key: 1 value { max_queue_size: 4 } } }",
            "fail",
            "dynamic_batching.priority_queue_policy: with any",
        ),
        ("dynamic_batching { preserve_ordering: true }", "warn", "preserve_ordering lets an answer wait"),
        ("sequence_batching {}", "fail", "sequence_batching: it wants a correlation id"),
        (
            'ensemble_scheduling { step { model_name: "first" } step { model_name: "second" } }',
            "warn",
            "an ensemble of 'first', 'second'",
        ),
        ("version_policy { all {} }", "warn", "several versions, and none is named"),
        ("version_policy { latest { num_versions: 2 } }", "warn", "several versions, and none is named"),
        ("instance_group { count: 4 kind: KIND_CPU }", "warn", "4 instances on the CPU share its cores"),
        ("instance_group { count: 1 passive: true }", "fail", "all are passive"),
        (
            'instance_group { rate_limiter { resources { name: "R" count: 1 } } }',
            "warn",
            "rate_limiter holds calls back",
        ),
        ("response_cache { enable: true }", "warn", "response_cache: "),
        ('input { name: "x" allow_ragged_batch: true }', "warn", "allow_ragged_batch of input 'x' has no use"),
    ],
)
def test_what_fights_the_service_is_named(text: str, level: str, said: str) -> None:
    found = advise(config(text), USE)
    assert [advice.level for advice in found] == [level]
    assert said in found[0].text


def test_a_queue_policy_is_worse_the_tighter_the_deadline() -> None:
    policy = config("dynamic_batching { priority_levels: 2 }")
    assert [advice.level for advice in advise(policy, USE._replace(slo_ms=5_000))] == ["warn"]


def test_a_model_that_takes_fewer_rows_than_calls_might_have_is_told_of_but_not_where_events_go_one_by_one() -> None:
    small = config("")
    small.max_batch_size = 8
    [found] = advise(small, USE)
    assert (found.level, "takes 8 rows at most" in found.text) == ("warn", True)
    assert "pipelines.fraud.batching.max_batch_size is 256" in found.text
    assert advise(small, USE._replace(streams=True)) == []


@pytest.mark.parametrize(
    ("policy", "levels", "said"),
    [
        ("version_policy { specific { versions: [1, 3] } }", ["fail"], "serves only 1, 3, and pipelines.fraud wants"),
        ("version_policy { specific { versions: [1, 2] } }", [], ""),
        ("version_policy { all {} }", [], ""),
        ("version_policy { latest { num_versions: 2 } }", ["warn"], "serves only the newest 2 versions"),
        ("", ["warn"], "write version_policy { specific { versions: 2 } }"),
    ],
)
def test_a_version_that_is_pinned_must_be_served(policy: str, levels: list[str], said: str) -> None:
    found = advise(config(policy), USE._replace(version="2"))
    assert [advice.level for advice in found] == levels
    assert all(said in advice.text for advice in found)


@pytest.mark.parametrize(("is_warmed", "said"), [(True, "one row of zeros is sent"), (False, "none can be sent")])
def test_a_missing_warm_up_is_said(is_warmed: bool, said: str) -> None:
    cold = model_config_pb2.ModelConfig(max_batch_size=1024)
    [found] = advise(cold, USE._replace(is_warmed=is_warmed))
    assert found.level == "warn"
    assert said in found.text


def test_the_worst_comes_first() -> None:
    both = config("dynamic_batching { max_queue_delay_microseconds: 100 priority_levels: 2 }")
    assert [advice.level for advice in advise(both, USE)] == ["fail", "warn"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("instance_group { count: 1 kind: KIND_CPU }", "up to 1024 rows a call, one call at a time"),
        ("instance_group { count: 2 kind: KIND_CPU }", "2 calls at once"),
        ("instance_group { count: 2 kind: KIND_GPU gpus: [0, 1] }", "4 calls at once"),
        ("instance_group { count: 1 kind: KIND_MODEL }", "as its backend decides"),
    ],
)
def test_instances_are_calls_at_once(text: str, said: str) -> None:
    assert said in capacity(config(text))
