"""How the sensor models are made."""

from inferstream.models.recipes import Limit, Quantize, Recipe, Train, Training, Widen, WindowCnn

# Neighbouring windows of a machine are alike: with more epochs the networks learn its noise by heart.
_TRAINING = Training(epochs=4, batch_size=256, learning_rate=3e-3)
_STUDENT_TRAINING = Training(epochs=6, batch_size=256, learning_rate=5e-3)

SENSOR = Recipe(
    name="sensor",
    steps=(
        Train("sensor_narrow", WindowCnn((32, 32, 32), 48), _TRAINING),
        Widen("sensor", source="sensor_narrow"),
        Train("sensor_student_narrow", WindowCnn((8, 8), 16), _STUDENT_TRAINING),
        Widen("sensor_student", source="sensor_student_narrow"),
        Quantize("sensor_int8", "sensor", rows=2_048),
    ),
    shipped=("sensor", "sensor_student"),
    unlisted=("sensor_narrow", "sensor_student_narrow"),
    limits=(
        Limit("sensor_student", "sensor", "r2", 0.05, faster=2),
        Limit("sensor_int8", "sensor", "r2", 0.01, faster=1),
        Limit("sensor_int8", "sensor", "coverage", 0.03),
    ),
    onnx_difference=1e-3,  # of up to 125 cycles
)
