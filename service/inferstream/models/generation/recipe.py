"""How the generation model is made."""

from inferstream.models.recipes import Gru, Recipe, Train, Training

GENERATION = Recipe(
    name="generation",
    steps=(Train("generation", Gru(embedding=48, units=256), Training(epochs=6, batch_size=32, learning_rate=6e-3)),),
    shipped=("generation",),
    onnx_difference=1e-4,  # after 128 steps, each on what the one before it left
)
