"""The event: a machine's last readings. Contract: `schemas/sensor_window.v1.json`. Unknown fields are tolerated."""

from typing import Annotated

import msgspec
from msgspec import Meta

SCHEMA = "sensor_window.v1"

STEPS = 30
SETTINGS = ("load", "speed", "ambient")
"""How the machine was run."""
SENSORS = (
    *("inlet_temperature", "outlet_temperature", "bearing_temperature", "oil_temperature"),
    *("inlet_pressure", "outlet_pressure", "oil_pressure", "vibration_x", "vibration_y", "vibration_z"),
    *("noise", "flow", "current", "voltage"),
)
CHANNELS = (*SETTINGS, *SENSORS)
"""The columns of `readings`, in their order."""
MOST_GAPS = 51
"""Of the 510 readings of a window, how many may be missing: a tenth."""

Identifier = Annotated[str, Meta(min_length=1, max_length=64)]
_Reading = Annotated[float, Meta(ge=-1e6, le=1e6)]
_Step = Annotated[list[_Reading | None], Meta(min_length=len(CHANNELS), max_length=len(CHANNELS))]


class Window(msgspec.Struct, gc=False):
    """Thirty readings of every channel of a machine, one a cycle, the newest last."""

    machine_id: Annotated[Identifier, Meta(description="machine")]
    window_id: Annotated[Identifier, Meta(description="identifies the window to its producer")]
    timestamp_ms: Annotated[
        int, Meta(ge=0, le=4_102_444_800_000, description="time of the last reading, milliseconds since 1970 UTC")
    ]
    interval_ms: Annotated[
        int, Meta(ge=1, le=31_536_000_000, description="time from one reading to the next: how long a cycle is")
    ]
    readings: Annotated[
        list[_Step],
        Meta(
            min_length=STEPS,
            max_length=STEPS,
            description="a row for each step, the newest last, with a column for each channel; null: a reading that "
            "is missing",
        ),
    ]

    def __post_init__(self) -> None:
        gaps = sum(row.count(None) for row in self.readings)
        if gaps > MOST_GAPS:
            raise ValueError(
                f"{gaps} of {STEPS * len(CHANNELS)} readings are missing, at most {MOST_GAPS} may be: fill them "
                "upstream or leave the window out"
            )
        if gaps >= STEPS:
            for number, name in enumerate(CHANNELS):
                if all(row[number] is None for row in self.readings):
                    raise ValueError(f"channel {name} (column {number}) has no reading at all")


__all__ = ["CHANNELS", "MOST_GAPS", "SCHEMA", "SENSORS", "SETTINGS", "STEPS", "Window"]
