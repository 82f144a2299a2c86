"""What is asked of a contestant: a YAML file that says how events arrive, for how long, and what goes wrong.

Unknown keys are refused with the nearest right name.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import yaml
from pydantic import BaseModel, Field, PositiveFloat, ValidationError, model_validator

from loadtest import pacer
from loadtest.arrivals import KINDS, Arrivals, Replay, Strict
from loadtest.errors import ScenarioError, hint

SCENARIOS = Path(__file__).with_name("scenarios")

_NotNegative = Annotated[float, Field(ge=0)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Slo = Annotated[int, Field(ge=1, le=3_600_000)]
_FEWEST_PARTITIONS = 4
_CLASSES_SEED = 7  # added to a run's own


class Fault(Strict):
    """Something that goes wrong `at_s` into the measured part, for `for_ms`."""

    at_s: _NotNegative
    kind: Literal["pause_triton", "restart_triton", "slow_triton", "rebalance", "kill_service", "stall_service"]
    for_ms: _NotNegative = 0.0
    factor: PositiveFloat = 1.0

    def words(self) -> str:
        """What happens, for people."""
        length = f" for {self.for_ms:g} ms"
        return {
            "pause_triton": f"triton paused{length}",
            "restart_triton": f"triton killed, started again after {self.for_ms:g} ms",
            "slow_triton": f"triton {self.factor:g}x as slow{length}",
            "rebalance": f"a second member of the group{length}",
            "kill_service": f"contestant killed, started again after {self.for_ms:g} ms",
            "stall_service": f"contestant stopped{length}",
        }[self.kind]

    def end(self) -> str | None:
        """What has happened when it is over, where that is a moment of its own."""
        again = {"restart_triton": "triton ready again", "kill_service": "contestant ready again"}
        return again.get(self.kind)


class SloClass(Strict):
    """Events with a deadline of their own, told by the header `slo-class`: this share of all."""

    slo_ms: _Slo
    share: Annotated[float, Field(gt=0, le=1)]
    reserved_share: _Share = 0.0


class Sweep(Strict):
    """A run for every combination of these values."""

    slo_ms: tuple[Annotated[int, Field(ge=1)], ...] = ()
    codec: tuple[Literal["json", "msgpack"], ...] = ()
    rate: tuple[PositiveFloat, ...] = ()
    load: tuple[PositiveFloat, ...] = ()

    def combinations(self) -> Iterator[dict[str, Any]]:
        """Names and values, the last name's values changing fastest."""
        named = [[(name, value) for value in values] for name, values in self if values]
        return (dict(choice) for choice in product(*named))


class Search(Strict):
    """Bisection for the highest rate that can be sustained, between these."""

    from_rate: PositiveFloat
    to_rate: PositiveFloat
    steps: Annotated[int, Field(ge=1, le=12)] = 6

    @model_validator(mode="after")
    def _in_order(self) -> "Search":
        if self.from_rate >= self.to_rate:
            raise ValueError("from_rate must be below to_rate")
        return self


class Scenario(Strict):
    """One scenario. With `sweep` or `search` it stands for several runs."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    about: str = ""
    model: Literal["fraud", "paced", "slow"] = "fraud"
    slo_ms: _Slo = 50
    classes: Mapping[Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*$")], SloClass] = {}
    arrivals: Arrivals
    seconds: PositiveFloat
    warm_up_s: _NotNegative = 2.0
    backlog_s: _NotNegative = 0.0
    drain_s: PositiveFloat = 90.0
    instances: Annotated[int, Field(ge=1, le=16)] = 1
    codec: Literal["json", "msgpack"] = "msgpack"
    environ: Mapping[str, str] = {}
    traces: Annotated[float, Field(ge=0, le=1)] | None = None
    faults: tuple[Fault, ...] = ()
    sweep: Sweep | None = None
    search: Search | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> "Scenario":
        if any(fault.kind == "slow_triton" for fault in self.faults) and self.model == "fraud":
            raise ValueError("slow_triton needs model: paced or slow, those whose pace can be changed")
        if any(fault.at_s >= self.seconds for fault in self.faults):
            raise ValueError("a fault's at_s lies after the end of the run")
        if isinstance(self.arrivals, Replay) and (self.backlog_s or self.sweep or self.search):
            raise ValueError("a replay has its own times: leave out backlog_s, sweep and search")
        if self.backlog_s and self.warm_up_s:
            raise ValueError("a backlog is met cold: give warm_up_s: 0 with backlog_s")
        if self.sweep is not None and self.search is not None:
            raise ValueError("give sweep or search, not both")
        if sum(one.share for one in self.classes.values()) > 1 + 1e-9:
            raise ValueError("the shares of classes add up to more than 1")
        return self

    @property
    def names_load(self) -> bool:
        """Whether its rate is a fraction of a capacity."""
        return getattr(self.arrivals, "load", None) is not None

    @property
    def partitions(self) -> int:
        """Of the topics: as many for each instance as for any other."""
        return -(-_FEWEST_PARTITIONS // self.instances) * self.instances

    @property
    def slos_ms(self) -> dict[str, int]:
        """By class; `default`, of the events without a header, first."""
        return {"default": self.slo_ms, **{name: one.slo_ms for name, one in self.classes.items()}}

    def classes_of(self, count: int, seed: int) -> npt.NDArray[np.uint8]:
        """The class of every event, as its number in `slos_ms`."""
        shares = [one.share for one in self.classes.values()]
        every = np.clip([1 - sum(shares), *shares], 0, 1)
        rng = np.random.default_rng(seed + _CLASSES_SEED)
        return rng.choice(len(every), count, p=every / every.sum()).astype(np.uint8)

    def schedule(self, seed: int, capacity: float | None) -> pacer.Schedule:
        """Nanoseconds from the begin of every event: a backlog's are negative, then come warm-up and measured part."""
        if isinstance(self.arrivals, Replay):
            return self.arrivals.schedule(self.warm_up_s + self.seconds, seed, capacity)
        rate = self.arrivals.per_second(capacity)
        old = pacer.evenly(pacer.constant(rate, self.backlog_s)) - int(self.backlog_s * 1e9)
        warm_up = pacer.poisson(pacer.constant(rate, self.warm_up_s), seed + 1)
        measured = self.arrivals.schedule(self.seconds, seed, capacity) + int(self.warm_up_s * 1e9)
        return np.concatenate([old, warm_up, measured])

    def variant(self, **changes: Any) -> "Scenario":
        """The same with other values; `rate` and `load` go to the arrivals. Raises ScenarioError."""
        content = self.model_dump(exclude={"sweep", "search"})
        for name in ("rate", "load"):
            if name in changes:
                content["arrivals"] |= {"rate": None, "load": None, name: changes.pop(name)}
        return parse(content | changes, f"scenario {self.name}")

    def variants(self) -> "list[Scenario]":
        """The single runs of a sweep; itself where there is none."""
        if self.sweep is None:
            return [self]
        return [self.variant(**values) for values in self.sweep.combinations()]


def names() -> list[str]:
    """Names of the scenarios that come with the tool."""
    return sorted(file.stem for file in SCENARIOS.glob("*.yaml"))


def load(name_or_file: str) -> Scenario:
    """A scenario of ours by name, or of a file. Raises ScenarioError, one line per mistake."""
    own = SCENARIOS / f"{name_or_file}.yaml"
    file = own if own.is_file() else Path(name_or_file)
    if not file.is_file():
        raise ScenarioError(f"there is neither a scenario nor a file '{name_or_file}'; {hint(name_or_file, names())}")
    try:
        content = yaml.safe_load(file.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{file} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ScenarioError(f"{file} is not a YAML mapping of a scenario's keys")
    return parse(content, str(file))


def parse(content: Mapping[str, Any], source: str) -> Scenario:
    """A scenario from plain values. Raises ScenarioError."""
    try:
        return Scenario.model_validate(content)
    except ValidationError as error:
        lines = [_explain(mistake, source) for mistake in error.errors(include_url=False)]
        raise ScenarioError("\n".join(lines)) from None


def _explain(mistake: Any, source: str) -> str:
    """One line: where, what is wrong, the nearest right name."""
    location = [str(part) for part in mistake["loc"]]
    where = f"{source}: {'.'.join(location) or 'scenario'}"
    if mistake["type"] != "extra_forbidden":
        return f"{where}: {mistake['msg'].removeprefix('Value error, ')}"
    return f"{where}: unknown key; {hint(location[-1], _known(location[:-1]))}"


def _known(parents: Sequence[str]) -> list[str]:
    """The keys that may stand here."""
    parts: Mapping[str, type[BaseModel]] = {"faults": Fault, "sweep": Sweep, "search": Search, "classes": SloClass}
    model: type[BaseModel] = Scenario
    if parents:
        model = KINDS[parents[1]] if parents[0] == "arrivals" else parts[parents[0]]
    return list(model.model_fields)
