"""A plan holds in the simulation of the batcher, and is no larger than it must be."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.policy.simulation import Backend, Phase, Setup, Simulation, arrivals

from inferstream.errors import SettingsError
from inferstream.operate.plan import Load, Margin, Model, plan
from inferstream.policy.batcher import SloClass

SECONDS = 4
BARE = Margin(headroom=0.0, spare=0, growth=1)


def share_in_time(model: Model, load: Load, rate: float, seed: int = 1) -> float:
    """Of the events at this rate on one instance, scored by the model within the SLO; the first second aside."""
    backend = Backend(model.alpha_ms / 1000, model.beta_ms / 1000)
    slo_class = SloClass("default", load.slo_ms / 1000)
    setup = Setup((backend.alpha, backend.beta), reserve=load.reserve_ms / 1000, max_rows=model.max_batch)
    result = Simulation(backend, [slo_class], seed, setup).run(
        arrivals([Phase(SECONDS, rate)], [(slo_class, 1.0)], seed)
    )
    sent, scored = (
        sum(count for (_, second), count in counts.items() if second >= 1) for counts in (result.sent, result.scored)
    )
    return scored / sent


@pytest.mark.parametrize(
    ("model", "load"),
    [
        (Model(2.0, 0.4, 256), Load(4_000, 50, 10)),
        (Model(0.8, 0.05, 512), Load(30_000, 20, 2)),
        (Model(5.0, 0.01, 256), Load(20_000, 100, 10)),
        (Model(1.0, 2.0, 64), Load(900, 40, 10)),
    ],
)
def test_pods_as_planned_score_their_share_in_time(model: Model, load: Load) -> None:
    made = plan(load, model, Margin(spare=0))
    assert share_in_time(model, load, load.rate / made.replicas) > 0.99


@pytest.mark.parametrize(
    ("model", "load"), [(Model(2.0, 0.4, 256), Load(4_000, 50, 10)), (Model(0.8, 0.05, 512), Load(30_000, 20, 2))]
)
def test_the_rate_of_an_instance_is_what_it_scores_when_overloaded(model: Model, load: Load) -> None:
    rate = plan(load, model, BARE).instance_rate
    assert 0.9 < 2 * share_in_time(model, load, 2 * rate) < 1.25


def test_pods_pay_for_headroom_spares_and_what_a_process_can_do() -> None:
    load, model = Load(10_000, 50, 10), Model(2.0, 0.4, 256)
    bare = plan(load, model, BARE)
    assert bare.limited_by == "model"
    assert bare.utilisation <= 1
    assert plan(load, model, BARE._replace(spare=2)).replicas == bare.replicas + 2
    assert plan(load, model, BARE._replace(headroom=0.5)).replicas >= 2 * bare.replicas - 1
    assert plan(load, model, BARE._replace(growth=3)).partitions == 3 * bare.replicas
    slow = plan(load, model, BARE._replace(process_rate=500))
    assert (slow.replicas, slow.limited_by) == (20, "process")


def test_a_model_s_own_limit_of_rows_is_kept() -> None:
    assert plan(Load(100, 1_000, 10), Model(1.0, 0.01, 8), BARE).batch == 8


def test_an_slo_that_no_row_can_keep_is_refused_with_what_it_needs() -> None:
    with pytest.raises(SettingsError, match=r"12 ms is too tight .* needs 16\.9 ms"):
        plan(Load(100, 12, 10), Model(2.0, 0.4, 256), BARE)
    plan(Load(100, 17, 10), Model(2.0, 0.4, 256), BARE)


@given(rate=st.floats(1, 1e6), slo_ms=st.floats(40, 5_000), instances=st.integers(1, 8), spare=st.integers(0, 3))
def test_a_plan_is_enough_and_one_pod_less_is_not(rate: float, slo_ms: float, instances: int, spare: int) -> None:
    model = Model(2.0, 0.4, 256, instances)
    made = plan(Load(rate, slo_ms, 10), model, Margin(spare=spare))
    needed = made.replicas - spare
    per_pod = 0.7 * made.instance_rate * instances
    assert needed * per_pod >= rate * 0.999_999
    assert (needed - 1) * per_pod < rate
    assert made.instances == made.replicas * instances
    assert made.partitions % made.replicas == 0


def test_the_command_takes_slo_and_batch_from_the_settings() -> None:
    command = [sys.executable, "-m", "inferstream", "plan", "--rate", "4000", "--alpha-ms", "2", "--beta-ms", "0.4"]
    environ = {
        "INFERSTREAM__PIPELINES__FRAUD__SLO_CLASSES": '{"gold": 30}',
        "INFERSTREAM__PIPELINES__FRAUD__BATCHING__MAX_BATCH_SIZE": "7",
    }
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=60, env=environ, check=True)
    expected = plan(Load(4_000, 30, 10), Model(2.0, 0.4, 7), Margin())
    assert json.loads(done.stdout) == expected._asdict()
