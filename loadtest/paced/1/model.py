"""A model that takes its time: alpha + beta * rows, asleep. Imports nothing of the tool: Triton runs it alone."""

import json
import math
import time
from typing import Any

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]

_MOST_OVERSLEPT_S = 0.002
_AMOUNT_LOG, _AMOUNT_OVER_USUAL = 0, 1  # columns of the features

Rows = npt.NDArray[np.float32]


class TritonPythonModel:
    """The requests of one call share one sleep, as they would share one run of a real model."""

    def initialize(self, args: dict[str, str]) -> None:
        parameters = json.loads(args["model_config"])["parameters"]
        values = {name: parameter["string_value"] for name, parameter in parameters.items()}
        self.alpha_s, self.beta_s = float(values["alpha_ms"]) / 1e3, float(values["beta_ms"]) / 1e3
        self.factor_file = values["factor_file"]
        self.overslept_s = 0.0

    def execute(self, requests: list[Any]) -> list[Any]:
        began = time.perf_counter()
        given = [pb_utils.get_input_tensor_by_name(request, "features").as_numpy() for request in requests]
        responses = [
            pb_utils.InferenceResponse([pb_utils.Tensor("probability", probability(features))]) for features in given
        ]
        rows = sum(len(features) for features in given)
        self.sleep((self.alpha_s + self.beta_s * rows) * self.factor(), began)
        return responses

    def sleep(self, wanted_s: float, began: float) -> None:
        """Until `wanted_s` after `began`. What one sleep was too long, the next is shorter: the mean is exact."""
        time.sleep(max(0.0, wanted_s - self.overslept_s - (time.perf_counter() - began)))
        over_s = self.overslept_s + time.perf_counter() - began - wanted_s
        self.overslept_s = min(max(over_s, 0.0), _MOST_OVERSLEPT_S)

    def factor(self) -> float:
        """How many times as long everything takes."""
        try:
            with open(self.factor_file) as file:
                factor = float(file.read())
        except (OSError, ValueError):
            return 1.0
        return factor if math.isfinite(factor) and factor > 0 else 1.0


def probability(features: Rows) -> Rows:
    """Something that varies with the event, so that every decision occurs."""
    score = 0.5 * features[:, _AMOUNT_LOG] + 1.5 * features[:, _AMOUNT_OVER_USUAL] - 3.5
    return (1 / (1 + np.exp(-score))).astype(np.float32).reshape(-1, 1)
