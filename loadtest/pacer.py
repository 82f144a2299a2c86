"""When events are sent: the whole schedule is made in advance, and pacing only compares it with the clock.

Pure: no clock, no IO. A schedule is a sorted array of nanoseconds from the begin. It comes from a profile, the
rate as a function of time, through its cumulative count: evenly spaced marks on that count give a constant
spacing, exponential ones a Poisson process, whatever the rate does meanwhile.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Schedule = npt.NDArray[np.int64]

_SECOND_NS = 1_000_000_000
_RAMP_STEPS = 1_000


class Profile(NamedTuple):
    """Rate by time: `rates[i]` events per second from `times[i]` to `times[i + 1]`, in seconds."""

    times: npt.NDArray[np.float64]
    rates: npt.NDArray[np.float64]


class Due(NamedTuple):
    """What to do now: send everything before number `until`, then look again after `wait_ns`."""

    until: int
    wait_ns: int


def pace(schedule: Schedule, sent: int, elapsed_ns: int) -> Due:
    """Everything that is due goes now, however late: waiting for nothing is what makes a loop open."""
    until = max(sent, int(np.searchsorted(schedule, elapsed_ns, side="right")))
    return Due(until, int(schedule[until]) - elapsed_ns if until < len(schedule) else 0)


def constant(rate: float, seconds: float) -> Profile:
    """The same rate all the time."""
    return Profile(np.array([0.0, seconds]), np.array([rate]))


def bursts(base_rate: float, burst_rate: float, period_s: float, burst_s: float, seconds: float) -> Profile:
    """Each period begins with the base rate and ends with a burst."""
    begins = np.arange(0.0, seconds, period_s)
    times = np.column_stack([begins, begins + period_s - burst_s]).ravel()
    rates = np.tile([base_rate, burst_rate], len(begins))
    is_inside = times < seconds
    return Profile(np.append(times[is_inside], seconds), rates[is_inside])


def spike(rate: float, factor: float, at_s: float, length_s: float, seconds: float) -> Profile:
    """One burst of `factor` times the rate."""
    return Profile(np.array([0.0, at_s, at_s + length_s, seconds]), np.array([rate, rate * factor, rate]))


def ramp(from_rate: float, to_rate: float, seconds: float) -> Profile:
    """From one rate to another, linearly."""
    middles = (np.arange(_RAMP_STEPS) + 0.5) / _RAMP_STEPS
    return Profile(np.linspace(0.0, seconds, _RAMP_STEPS + 1), from_rate + (to_rate - from_rate) * middles)


def evenly(profile: Profile) -> Schedule:
    """Events at even distances of the profile's rate; the first at the begin."""
    return _at(profile, np.arange(int(np.ceil(_counts(profile)[-1] - 1e-9)), dtype=np.float64))


def poisson(profile: Profile, seed: int) -> Schedule:
    """A Poisson process of the profile's rate: independent events, as those of many unconnected users."""
    total = _counts(profile)[-1]
    rng = np.random.default_rng(seed)
    marks = np.cumsum(rng.exponential(size=int(total + 10 * np.sqrt(total) + 20)))
    return _at(profile, marks[marks < total])


def replay(recorded_ns: Schedule, speed: float) -> Schedule:
    """The distances of a recording, `speed` times as fast. Raises ValueError unless it is in order of time."""
    if np.any(np.diff(recorded_ns) < 0):
        raise ValueError("the recording is not in order of time")
    return ((recorded_ns - recorded_ns[:1]) / speed).astype(np.int64)


def _counts(profile: Profile) -> npt.NDArray[np.float64]:
    """Expected number of events up to each of the profile's times."""
    return np.concatenate([[0.0], np.cumsum(np.diff(profile.times) * profile.rates)])


def _at(profile: Profile, marks: npt.NDArray[np.float64]) -> Schedule:
    """The times at which the expected number of events reaches the marks, all below the total."""
    counts, times = _counts(profile), profile.times
    # Where the rate is 0 two times share a count; "right" takes the later one, where events begin again.
    index = np.searchsorted(counts, marks, side="right") - 1
    share = (marks - counts[index]) / (counts[index + 1] - counts[index])
    seconds = times[index] + share * (times[index + 1] - times[index])
    return (seconds * _SECOND_NS).astype(np.int64)
