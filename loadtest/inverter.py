"""A model that turns every bit over, of a tensor of any size. Imports nothing of the tool: Triton runs it alone."""

import time
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]

_SLOW = 255  # first byte of a row that takes a second, to be given up on


class TritonPythonModel:
    """Answers each request by itself."""

    def execute(self, requests: list[Any]) -> list[Any]:
        return [_answer(pb_utils.get_input_tensor_by_name(request, "given").as_numpy()) for request in requests]


def _answer(given: Any) -> Any:
    if given.flat[0] == _SLOW:
        time.sleep(1.0)
    return pb_utils.InferenceResponse([pb_utils.Tensor("inverted", np.invert(given))])
