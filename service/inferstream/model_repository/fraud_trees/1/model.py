"""Runs model.onnx inside Triton's Python backend. Imports nothing of inferstream: it is copied beside the model."""

import os

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """The requests of one call share one run: the backend hands them over together but does not join them."""

    def initialize(self, args):
        if not np.__version__.startswith("1."):
            # With numpy 2 this backend answers OK with empty tensors.
            raise pb_utils.TritonModelException(f"this backend needs numpy 1, found {np.__version__}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        file = os.path.join(args["model_repository"], args["model_version"], "model.onnx")
        self.session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self.inputs = [tensor.name for tensor in self.session.get_inputs()]
        self.outputs = [tensor.name for tensor in self.session.get_outputs()]

    def execute(self, requests):
        given = [
            [pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs]
            for request in requests
        ]
        joined = [arrays[0] if len(arrays) == 1 else np.concatenate(arrays) for arrays in zip(*given)]
        results = self.session.run(self.outputs, dict(zip(self.inputs, joined)))
        responses, row = [], 0
        for arrays in given:
            end = row + len(arrays[0])
            tensors = [pb_utils.Tensor(name, result[row:end]) for name, result in zip(self.outputs, results)]
            responses.append(pb_utils.InferenceResponse(tensors))
            row = end
        return responses
