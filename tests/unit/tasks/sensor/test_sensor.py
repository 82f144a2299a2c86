"""A window is read as it is, its gaps are filled by what came before, and the interval decides."""

import copy
import itertools
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from inferstream.errors import SettingsError
from inferstream.events import codecs
from inferstream.tasks import load
from inferstream.tasks.sensor import CHANNELS, STEPS, Reason, Remaining, SensorTask, Window
from inferstream.tasks.sensor.event import MOST_GAPS
from inferstream.traffic.sensors import stream

TASK = SensorTask()
WIDTH = len(CHANNELS)
WHOLE = next(event for event, _ in stream(5) if not any(None in row for row in event.readings))


def window(**readings: float | None) -> Window:
    """A window with some readings changed: `s3_c2=None` is the one of step 3, channel 2."""
    event = copy.deepcopy(WHOLE)
    for name, value in readings.items():
        step, channel = (int(part[1:]) for part in name.split("_"))
        event.readings[step][channel] = value
    return event


def row(event: Window) -> npt.NDArray[np.float32]:
    (only,) = TASK.tensors([event])["readings"]
    return np.asarray(only)


def decided(low: float, middle: float, high: float, event: Window = WHOLE, **options: float) -> Remaining:
    task = SensorTask(**options)
    outputs = {"remaining": np.array([[low, middle, high]], np.float32)}
    (result,) = task.decide([event], task.tensors([event]), outputs)
    return result


def test_readings_come_through_in_their_order() -> None:
    np.testing.assert_array_equal(row(WHOLE), np.array(WHOLE.readings, np.float32))


def test_a_gap_takes_the_last_reading_of_its_channel_and_at_the_beginning_the_first() -> None:
    filled = row(window(s0_c4=None, s1_c4=None, s10_c4=None, s11_c4=None, s29_c7=None))
    channel = [step[4] for step in WHOLE.readings]
    assert filled[:3, 4].tolist() == np.array([channel[2]] * 3, np.float32).tolist()
    assert filled[9:13, 4].tolist() == np.array([channel[9]] * 3 + [channel[12]], np.float32).tolist()
    assert filled[29, 7] == filled[28, 7]
    unchanged = np.ones((STEPS, WIDTH), bool)
    unchanged[[0, 1, 10, 11, 29], [4, 4, 4, 4, 7]] = False
    np.testing.assert_array_equal(filled[unchanged], np.array(WHOLE.readings, np.float32)[unchanged])


def test_a_window_alone_is_the_window_in_a_batch() -> None:
    events = [event for event, _ in itertools.islice(stream(6), 200)]
    together = TASK.tensors(events)["readings"]
    assert together.shape == (200, STEPS, WIDTH)
    assert together.dtype == np.float32
    assert np.isfinite(together).all()
    assert any(None in step for event in events for step in event.readings), "none of them has gaps"
    for number, event in enumerate(events):
        np.testing.assert_array_equal(row(event), together[number])


def test_no_events_are_no_rows() -> None:
    assert TASK.tensors([])["readings"].shape == (0, STEPS, WIDTH)


@pytest.mark.parametrize(
    ("interval", "decision", "reason"),
    [
        ((10, 29.9, 50), "alert", Reason.BELOW_LIMIT),
        ((29.9, 30, 50), "watch", Reason.LOW_END_BELOW_LIMIT),
        ((30, 60, 90), "run", None),
    ],
)
def test_the_middle_alerts_and_the_low_end_warns(
    interval: tuple[float, float, float], decision: str, reason: str | None
) -> None:
    result = decided(*interval)
    assert (result.decision, result.reasons) == (decision, (reason,) if reason else ())
    assert (result.low, result.remaining, result.high, result.unit) == (*interval, "cycles")


def test_the_limit_is_an_option() -> None:
    assert decided(40, 60, 90, alert_below=61.0).decision == "alert"
    assert load("sensor", {"alert_below": "61"}) == SensorTask(61.0)
    with pytest.raises(SettingsError, match="alert_below: write cycles from 0 to 125, got 126"):
        load("sensor", {"alert_below": 126})


def test_time_left_is_the_cycles_of_the_event() -> None:
    event = msgspec.structs.replace(WHOLE, interval_ms=60_000)
    assert decided(40, 60.5, 90, event).remaining_ms == 60.5 * 60_000


def test_what_lies_beyond_the_horizon_is_said_to() -> None:
    assert decided(90, 124, 124.9).reasons == ()
    assert decided(90, 124, 125).reasons == (Reason.BEYOND_HORIZON,)


def test_filled_gaps_are_counted_and_named() -> None:
    result = decided(40, 60, 90, window(s0_c4=None, s5_c5=None))
    assert (result.gaps, result.reasons) == (2, (Reason.GAPS_FILLED,))


def test_nobody_can_say_without_a_model() -> None:
    assert TASK.rules([WHOLE], TASK.tensors([WHOLE])) is None


def complaint(readings: Any) -> str:
    document = {**msgspec.to_builtins(WHOLE), "readings": readings}
    said = set()
    for codec in (codecs.MSGPACK, codecs.JSON):
        with pytest.raises(msgspec.ValidationError) as refused:
            codec.decoder(Window)(codec.encode(document))
        said.add(str(refused.value))
    (text,) = said
    return text


def with_gaps(count: int) -> list[list[float | None]]:
    """Spread over the channels."""
    readings = copy.deepcopy(WHOLE.readings)
    for place in range(count):
        readings[place // WIDTH][place % WIDTH] = None
    return readings


def test_a_tenth_of_the_readings_may_be_missing_and_no_more() -> None:
    codecs.MSGPACK.decoder(Window)(
        codecs.MSGPACK.encode({**msgspec.to_builtins(WHOLE), "readings": with_gaps(MOST_GAPS)})
    )
    assert complaint(with_gaps(MOST_GAPS + 1)).startswith("52 of 510 readings are missing, at most 51 may be")


def test_a_channel_that_is_missing_as_a_whole_is_named() -> None:
    readings = copy.deepcopy(WHOLE.readings)
    for step in readings:
        step[5] = None
    assert complaint(readings) == "channel bearing_temperature (column 5) has no reading at all"


@pytest.mark.parametrize(
    ("readings", "said"),
    [
        (WHOLE.readings[1:], "Expected `array` of length >= 30 - at `$.readings`"),
        ([*WHOLE.readings, WHOLE.readings[0]], "Expected `array` of length <= 30 - at `$.readings`"),
        ([step[1:] for step in WHOLE.readings], "Expected `array` of length >= 17 - at `$.readings[0]`"),
        ([*WHOLE.readings[:-1], [1e9] * WIDTH], "Expected `float` <= 1000000.0 - at `$.readings[29][0]`"),
        ([*WHOLE.readings[:-1], ["31.5"] * WIDTH], "Expected `float | null`, got `str` - at `$.readings[29][0]`"),
    ],
)
def test_another_shape_is_refused_with_what_is_wanted_and_where(readings: Any, said: str) -> None:
    assert complaint(readings) == said


def test_a_reading_that_is_no_number_is_refused() -> None:
    document = {**msgspec.to_builtins(WHOLE), "readings": [*WHOLE.readings[:-1], [float("nan")] * WIDTH]}
    with pytest.raises(msgspec.ValidationError, match=r"at `\$\.readings\[29\]\[0\]`"):
        codecs.MSGPACK.decoder(Window)(codecs.MSGPACK.encode(document))
