"""Machines that run until they fail, simulated: what their sensors say while they wear out.

A machine wears slowly at first and quickly in the end, by one of two faults or by both: its bearings go, or it fouls.
How it is run (load, speed, surroundings) moves the sensors as much as wear does, and each sensor has an offset of its
machine and noise of its own. The truth stays beside the events, never in them.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from inferstream.tasks.sensor import STEPS, Window
from inferstream.tasks.sensor.event import SENSORS

Floats = npt.NDArray[np.float64]

INTERVAL_MS = 3_600_000
_MACHINES = 40  # that report, each at its own age
_GAPPY_SHARE = 0.05  # of the windows
_MOST_GAPS = 20

# A sensor's value at rest, what full load, full speed and a warm day add, what a worn bearing and a fouled machine add,
# its noise. Temperatures in degrees Celsius, pressures in bar, vibration in mm/s, noise in dB, flow in m³/h, A, V.
_EFFECTS = {
    "inlet_temperature": (20.0, 2.0, 1.0, 15.0, 0.0, 1.0, 0.6),
    "outlet_temperature": (35.0, 20.0, 6.0, 12.0, 2.0, 11.0, 1.6),
    "bearing_temperature": (40.0, 10.0, 14.0, 10.0, 12.0, 1.0, 1.7),
    "oil_temperature": (38.0, 8.0, 8.0, 9.0, 7.0, 2.0, 1.3),
    "inlet_pressure": (2.0, -0.2, -0.1, 0.0, 0.0, -0.12, 0.03),
    "outlet_pressure": (6.0, 2.5, 1.5, -0.1, -0.1, -0.9, 0.12),
    "oil_pressure": (3.5, 0.2, 0.6, -0.1, -0.6, 0.0, 0.08),
    "vibration_x": (1.2, 0.4, 0.9, 0.0, 2.1, 0.2, 0.28),
    "vibration_y": (1.1, 0.4, 0.8, 0.0, 1.8, 0.3, 0.27),
    "vibration_z": (0.8, 0.2, 0.5, 0.0, 1.0, 0.2, 0.2),
    "noise": (62.0, 5.0, 9.0, 0.0, 6.0, 2.0, 1.1),
    "flow": (40.0, 45.0, 12.0, 0.0, -0.5, -9.0, 1.4),
    "current": (18.0, 22.0, 8.0, 0.2, 1.5, 3.2, 0.6),
    "voltage": (400.0, -2.0, 0.0, 0.0, 0.0, 0.0, 1.2),
}
_TABLE = np.array([_EFFECTS[name] for name in SENSORS])
_OFFSET = 0.35  # of a machine's sensor, in units of the sensor's noise


class Run(NamedTuple):
    """A machine's life: readings [cycles, channels], and how many cycles are left after each."""

    readings: Floats
    remaining: Floats


def run(seed: int) -> Run:
    """A machine from its first cycle to its last; 180 to 360 cycles."""
    rng = np.random.default_rng((seed, 11))
    cycles = int(rng.integers(180, 360))
    age = np.arange(1, cycles + 1) / cycles
    steepness = rng.uniform(2.5, 4.5)
    wear = np.expm1(steepness * age) / np.expm1(steepness)
    bearing = float(rng.beta(0.5, 0.5))  # mostly one fault or the other, at times both
    settings = _settings(rng, cycles)
    rest, by_setting, by_fault, noise = _TABLE[:, 0], _TABLE[:, 1:4], _TABLE[:, 4:6], _TABLE[:, 6]
    faults = wear[:, None] * np.array([bearing, 1 - bearing])
    sensors = rest + settings @ by_setting.T + faults @ by_fault.T
    sensors += noise * (_OFFSET * rng.normal(size=len(SENSORS)) + rng.normal(size=sensors.shape))
    return Run(np.round(np.concatenate([settings, sensors], axis=1), 3), cycles - np.arange(1.0, cycles + 1))


def _settings(rng: np.random.Generator, cycles: int) -> Floats:
    """Load and speed in shares of full, in spells; surroundings from 0 (cold) to 1 (warm), by the day."""
    load = np.empty(cycles)
    begin = 0
    while begin < cycles:
        end = begin + int(rng.integers(8, 40))
        load[begin:end] = rng.choice((0.55, 0.75, 0.95))
        begin = end
    load += rng.normal(0, 0.02, cycles)
    speed = 0.4 + 0.55 * load + rng.normal(0, 0.02, cycles)
    ambient = (
        0.5 + 0.35 * np.sin(np.arange(cycles) * (2 * np.pi / 24) + rng.uniform(0, 6)) + rng.normal(0, 0.05, cycles)
    )
    return np.stack([load, speed, ambient], axis=1)


def stream(seed: int = 1) -> Iterator[tuple[Window, float]]:
    """Windows without end of machines that take turns, each with the cycles its machine has left.

    A machine that fails is followed by a new one. A caller that plays them live sets `timestamp_ms`.
    """
    rng = np.random.default_rng((seed, 13))
    lives = [_life(rng) for _ in range(_MACHINES)]
    cycle = 0
    while True:
        for number, (name, life, began) in enumerate(lives):
            end = cycle - began + STEPS
            if end > len(life.readings):
                name, life, began = lives[number] = _life(rng, cycle)
                end = STEPS
            rows = _with_gaps(rng, life.readings[end - STEPS : end])
            yield Window(name, f"{name}-{end}", cycle * INTERVAL_MS, INTERVAL_MS, rows), float(life.remaining[end - 1])
        cycle += 1


def _life(rng: np.random.Generator, now: int | None = None) -> tuple[str, Run, int]:
    """A machine by name, its life, and the cycle of the fleet at which it has its first window; None: some time ago."""
    number = int(rng.integers(2**31))
    life = run(number)
    began = -int(rng.integers(len(life.readings) - STEPS)) if now is None else now
    return f"m{number:08x}", life, began


def _with_gaps(rng: np.random.Generator, readings: Floats) -> list[list[float | None]]:
    rows: list[list[float | None]] = readings.tolist()
    if rng.random() < _GAPPY_SHARE:
        for place in rng.integers(readings.size, size=int(rng.integers(1, _MOST_GAPS))).tolist():
            rows[place // readings.shape[1]][place % readings.shape[1]] = None
    return rows
