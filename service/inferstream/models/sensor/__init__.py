"""The family of machine health: networks that give the cycles a machine has left, with an interval."""

from inferstream.models.family import Family
from inferstream.models.sensor.accuracy import accuracy
from inferstream.models.sensor.data import simulated
from inferstream.models.sensor.recipe import SENSOR
from inferstream.tasks.sensor import CHANNELS, SensorTask

__all__ = ["FAMILY"]

_ABOUT = """Simulated machines that run until they fail; a window is 30 cycles of 17 channels, and the models are asked
for the cycles left, 125 at most. `sensor` is served, `sensor_student` answers in the process when Triton cannot. Each
gives P10, P50 and P90: fitted by pinball loss, then widened on machines of their own until the interval holds 80 % of
them (conformal). RMSE is that of P50 and is to be read beside the spread of what was asked for, which is the RMSE of
one who always says the mean. INT8 is static, the last layer in float."""

FAMILY = Family(
    recipe=SENSOR,
    task=SensorTask,
    simulated=simulated,
    accuracy=accuracy,
    figures={
        "rmse": "RMSE, cycles",
        "spread": "spread, cycles",
        "r2": "R²",
        "mae": "mean error, cycles",
        "coverage": "coverage (goal 0.80)",
        "width": "interval, cycles",
        "alert_precision": "alerts right",
        "alert_recall": "alerts found",
        "bytes": "bytes",
    },
    about=_ABOUT,
    columns=CHANNELS,
)
