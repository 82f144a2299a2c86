"""How a scenario says that events arrive. Every kind makes a schedule from its length and a seed.

Rates are absolute (`rate`, events per second) or a `load`: a fraction of what the model on Triton can answer within
the SLO, as calibration found it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, model_validator

from loadtest import pacer, recording
from loadtest.errors import ScenarioError


class Strict(BaseModel):
    """A part of a scenario: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _Rated(Strict):
    """Arrivals with a rate."""

    rate: PositiveFloat | None = None
    load: PositiveFloat | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "_Rated":
        if (self.rate is None) == (self.load is None):
            raise ValueError("give either rate (events per second) or load (fraction of the capacity)")
        return self

    def per_second(self, capacity: float | None) -> float:
        """The rate; a load needs to know the capacity."""
        if self.load is None:
            assert self.rate is not None
            return self.rate
        if capacity is None:
            raise ScenarioError("this scenario names a load, which needs a calibrated model: calibrate, or give a rate")
        return self.load * capacity

    def in_its_unit(self, value: float, capacity: float | None) -> float:
        """Events per second of another rate or load, whichever this one is given as."""
        return value if self.load is None else value / self.load * self.per_second(capacity)


class Constant(_Rated):
    """Evenly spaced."""

    kind: Literal["constant"]

    def schedule(self, seconds: float, seed: int, capacity: float | None) -> pacer.Schedule:
        return pacer.evenly(pacer.constant(self.per_second(capacity), seconds))


class Poisson(_Rated):
    """Independent of each other, as events of many users are."""

    kind: Literal["poisson"]

    def schedule(self, seconds: float, seed: int, capacity: float | None) -> pacer.Schedule:
        return pacer.poisson(pacer.constant(self.per_second(capacity), seconds), seed)


class Bursts(_Rated):
    """Poisson; in the last `burst_s` of every `period_s` the rate (or load) is `burst`."""

    kind: Literal["bursts"]
    burst: PositiveFloat
    period_s: PositiveFloat
    burst_s: PositiveFloat

    @model_validator(mode="after")
    def _fits(self) -> "Bursts":
        if self.burst_s >= self.period_s:
            raise ValueError("burst_s must be shorter than period_s")
        return self

    def schedule(self, seconds: float, seed: int, capacity: float | None) -> pacer.Schedule:
        burst = self.in_its_unit(self.burst, capacity)
        profile = pacer.bursts(self.per_second(capacity), burst, self.period_s, self.burst_s, seconds)
        return pacer.poisson(profile, seed)


class Spike(_Rated):
    """Poisson, with one burst of `factor` times the rate."""

    kind: Literal["spike"]
    factor: PositiveFloat
    at_s: PositiveFloat
    length_s: PositiveFloat

    def schedule(self, seconds: float, seed: int, capacity: float | None) -> pacer.Schedule:
        if self.at_s + self.length_s >= seconds:
            raise ScenarioError(f"arrivals: the spike must end before the run of {seconds:g} s does; move at_s")
        profile = pacer.spike(self.per_second(capacity), self.factor, self.at_s, self.length_s, seconds)
        return pacer.poisson(profile, seed)


class Ramp(_Rated):
    """Poisson, from the rate (or load) to `to`, linearly."""

    kind: Literal["ramp"]
    to: PositiveFloat

    def schedule(self, seconds: float, seed: int, capacity: float | None) -> pacer.Schedule:
        profile = pacer.ramp(self.per_second(capacity), self.in_its_unit(self.to, capacity), seconds)
        return pacer.poisson(profile, seed)


class Replay(Strict):
    """The events of a file (one JSON object with `timestamp_ms` a line), `speed` times as fast as they came."""

    kind: Literal["replay"]
    file: Path
    speed: PositiveFloat = 1.0

    def schedule(self, seconds: float, seed: int, capacity: float | None) -> pacer.Schedule:
        schedule = pacer.replay(recording.timestamps_ns(self.file), self.speed)
        return schedule[schedule < seconds * 1e9]


KINDS: Mapping[str, type[Strict]] = {
    "constant": Constant,
    "poisson": Poisson,
    "bursts": Bursts,
    "spike": Spike,
    "ramp": Ramp,
    "replay": Replay,
}

Arrivals = Annotated[Constant | Poisson | Bursts | Spike | Ramp | Replay, Field(discriminator="kind")]
