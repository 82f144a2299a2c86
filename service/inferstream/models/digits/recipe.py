"""How the digits models are made."""

from inferstream.models.recipes import ImageCnn, Limit, Quantize, Recipe, Train, Training

DIGITS = Recipe(
    name="digits",
    steps=(
        Train("digits", ImageCnn((32, 32), 72), Training(epochs=25, batch_size=64, learning_rate=3e-3)),
        Quantize("digits_int8", "digits", rows=1_024),
    ),
    shipped=("digits",),
    limits=(Limit("digits_int8", "digits", "accuracy", 0.01),),
)
