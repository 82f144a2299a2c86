"""Which runs a bench is made of: a quick, a medium and a full form, each narrowed to what is asked. Pure."""

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

from loadtest import contestants, scenario
from loadtest.cells import GOODPUT, STEADY, SUSTAINABLE, THROUGHPUT, TRACED, UNTRACED
from loadtest.errors import ScenarioError, hint
from loadtest.scenario import Scenario

_SOAK = "soak"
_EVEN = (GOODPUT, STEADY, SUSTAINABLE, _SOAK)
_DRAIN_S = 4.0  # long after any SLO of these; nobody's order of merit depends on what is answered after it
_BASIC = ("service", "confluent", "faststream")
_SLOW = ("naive", "quixstreams")


class Part(NamedTuple):
    """Scenarios that these contestants run in turns, so many rounds."""

    contestants: Sequence[str]
    scenarios: Sequence[Scenario]
    rounds: int


class Form(NamedTuple):
    """What is run, and for whom the best options of a grid are looked for first."""

    parts: Sequence[Part]
    tuned: Sequence[str] = ()


class Wish(NamedTuple):
    """What a form is narrowed to; what is empty or None is left as it is."""

    rounds: int | None = None
    seconds: float | None = None
    slos_ms: Sequence[int] = ()
    loads: Sequence[float] = ()
    contestants: Sequence[str] = ()
    scenarios: Sequence[str] = ()


def quick() -> Form:
    """The ceilings; the service, a hand-written loop and FastStream at half, all and twice of the model's capacity."""
    parts = [
        Part(["passthrough", *_BASIC], [scenario.load(THROUGHPUT), _idle(seconds=10)], 1),
        Part(_BASIC, _goodput([50], [0.5, 1.0, 2.0], seconds=8), 3),
    ]
    return Form(parts)


def medium(peers: Sequence[str]) -> Form:
    """Every contestant at half, all and more of what the model can do; all that is promised of the service."""
    alone = ["spike", "own_triton", "shared_triton"]
    once = ["mixed_classes", "backlog", "triton_paused", "triton_restarted", "triton_slow", "triton_killed"]
    ceiling = [*_goodput([50], [0.1, 2.0], seconds=7), *_goodput([20], [0.8], seconds=7)]
    parts = [
        Part(["passthrough", *_BASIC], [scenario.load(THROUGHPUT), _idle(seconds=8)], 1),
        Part(["service", "passthrough"], ceiling, 3),
        Part(["service"], [scenario.load(name) for name in alone], 3),
        Part(["service"], [scenario.load(name) for name in once], 1),
        Part(["service", "passthrough", *peers], _goodput([50], [0.5, 1.0, 1.2, 1.5], seconds=6, drain_s=_DRAIN_S), 3),
    ]
    return Form(parts)


def full(peers: Sequence[str]) -> Form:
    """Every contestant, tuned; nearly every scenario; three rounds; highest sustained rates, and a soak.

    At an SLO of 50 ms the whole curve is everybody's, at 20 and 100 ms the service's, the fastest loop's and Flink's.
    Of peers that give out at a quarter of what the model can do, more of the curve would say nothing more.
    """
    quick = ["passthrough", "service", *(name for name in peers if name not in _SLOW)]
    slow = [name for name in peers if name in _SLOW]
    rivals = ["service", "confluent", "flink"]
    even = {"seconds": 6.0, "drain_s": _DRAIN_S}
    at_50 = _goodput([50], [0.1, 0.5, 0.8, 1.0, 1.2, 1.5, 2.0], **even)
    others = [*_goodput([20], [0.5, 0.8, 1.0, 1.5], **even), *_goodput([100], [0.5, 1.0, 1.5], **even)]
    path = [scenario.load(THROUGHPUT), _idle(seconds=8)]
    faults = ["spike", "bursts", "triton_paused", "triton_restarted", "triton_slow", "triton_killed"]
    own = ["backlog", "mixed_classes", "rebalance", "json_vs_msgpack"]
    parts = [
        Part(quick, path, 3),
        Part(["service"], [scenario.load(UNTRACED), scenario.load(TRACED)], 3),
        Part(slow, path, 1),
        Part(quick, at_50, 3),
        Part(slow, _goodput([50], [0.1, 0.5, 1.0, 1.2], **even), 3),
        Part(["passthrough", *rivals], others, 3),
        Part(["service"], [scenario.load(name) for name in ("own_triton", "shared_triton")], 3),
        Part(rivals, [scenario.load(name) for name in faults], 1),
        Part(rivals, [_lasting(scenario.load(SUSTAINABLE), 15)], 1),
        Part(["service"], [*(scenario.load(name) for name in own), _lasting(scenario.load(_SOAK), 300)], 1),
    ]
    return Form(parts, peers)


def narrow(form: Form, wish: Wish) -> Form:
    """The part of a form that is asked for. SLOs and loads take the place of those that scenario goodput has, seconds
    those of the runs at an even rate. Raises ScenarioError for names that are none of the form's."""
    _check(
        "contestant", wish.contestants, [name for part in form.parts for name in part.contestants], contestants.names()
    )
    own = [one.name for part in form.parts for one in part.scenarios]
    _check("scenario", wish.scenarios, own, scenario.names())
    parts = _once([_narrowed(part, wish) for part in form.parts])
    left = [part for part in parts if part.contestants and part.scenarios]
    if not left:
        raise ScenarioError("nothing is left to run: none of these contestants runs these scenarios in this form")
    return Form(left, [name for name in form.tuned if not wish.contestants or name in wish.contestants])


def _check(kind: str, asked: Sequence[str], here: Sequence[str], everywhere: Sequence[str]) -> None:
    for name in asked:
        if name not in everywhere:
            raise ScenarioError(f"there is no {kind} '{name}'; {hint(name, everywhere)}")
        if name not in here:
            those = ", ".join(dict.fromkeys(here))
            raise ScenarioError(f"{kind} '{name}' is not in this form of the bench, which has: {those}")


def _narrowed(part: Part, wish: Wish) -> Part:
    names = [name for name in part.contestants if not wish.contestants or name in wish.contestants]
    kept = [one for one in part.scenarios if not wish.scenarios or one.name in wish.scenarios]
    scenarios = [*_regridded([one for one in kept if one.name == GOODPUT], wish)]
    scenarios += [one for one in kept if one.name != GOODPUT]
    lasting = [_lasting(one, wish.seconds) for one in scenarios]
    return Part(names, lasting, wish.rounds or part.rounds)


def _regridded(curve: Sequence[Scenario], wish: Wish) -> list[Scenario]:
    """Runs of scenario goodput at other SLOs and loads."""
    if not curve or not (wish.slos_ms or wish.loads):
        return list(curve)
    slos_ms = wish.slos_ms or dict.fromkeys(one.slo_ms for one in curve)
    loads = wish.loads or dict.fromkeys(one.arrivals.load for one in curve if one.names_load)  # type: ignore[union-attr]
    return [curve[0].variant(slo_ms=slo_ms, load=load) for slo_ms, load in product(slos_ms, loads)]


def _once(parts: Sequence[Part]) -> list[Part]:
    """Without what an earlier part has too, now that both have their SLOs and loads from one wish."""
    seen: set[tuple[Any, ...]] = set()
    kept = []
    for part in parts:
        runs = [
            [(name, one.name, one.slo_ms, one.codec, one.arrivals) for name in part.contestants]
            for one in part.scenarios
        ]
        fresh = [one for one, those in zip(part.scenarios, runs, strict=True) if not seen.issuperset(those)]
        seen.update(run for those in runs for run in those)
        kept.append(part._replace(scenarios=fresh))
    return kept


def _lasting(one: Scenario, seconds: float | None) -> Scenario:
    """A run at an even rate of another length; where something happens at its time, the length is the scenario's."""
    if seconds is None or one.name not in _EVEN:
        return one
    return one.model_copy(update={"seconds": seconds})


def _goodput(
    slos_ms: Sequence[int], loads: Sequence[float], *, seconds: float, warm_up_s: float = 1.0, drain_s: float = 90.0
) -> list[Scenario]:
    asked = scenario.load(GOODPUT)
    times = {"seconds": seconds, "warm_up_s": warm_up_s, "drain_s": drain_s}
    return [asked.variant(slo_ms=slo_ms, load=load, **times) for slo_ms, load in product(slos_ms, loads)]


def _idle(seconds: float) -> Scenario:
    """A low rate with the real model: what the path itself costs in time."""
    return scenario.load(STEADY).variant(rate=500.0, seconds=seconds, warm_up_s=2)
