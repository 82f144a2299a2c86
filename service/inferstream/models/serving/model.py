"""Runs model.onnx inside Triton's Python backend. Imports nothing of inferstream: it is copied beside the model."""

import json
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
        file = os.path.join(args["model_repository"], args["model_version"], "model.onnx")
        if args["model_instance_kind"] == "GPU":
            most = json.loads(args["model_config"])["max_batch_size"]
            self.run = OnGpu(file, args["model_instance_device_id"], most)
        else:
            self.run = OnCpu(file)

    def execute(self, requests):
        given = [
            [pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.run.inputs]
            for request in requests
        ]
        joined = [arrays[0] if len(arrays) == 1 else np.concatenate(arrays) for arrays in zip(*given)]
        results = self.run(joined)
        responses, row = [], 0
        for arrays in given:
            end = row + len(arrays[0])
            tensors = [pb_utils.Tensor(name, result[row:end]) for name, result in zip(self.run.outputs, results)]
            responses.append(pb_utils.InferenceResponse(tensors))
            row = end
        return responses


class OnCpu:
    """On one thread."""

    def __init__(self, file):
        self.session = open_session(file, ["CPUExecutionProvider"])
        self.inputs, self.outputs = names_of(self.session)

    def __call__(self, arrays):
        return self.session.run(self.outputs, dict(zip(self.inputs, arrays)))


class OnGpu:
    """A session for each of a few sizes of a batch; a batch is filled up to the next of them.

    ONNX Runtime plans a convolution anew whenever the shape of its input is another than the last one's, which takes
    tens of times as long as the call, and in a stream nearly every batch has another size. Rows are best all of one
    shape: images of several sizes in turn are planned at each change.
    """

    MOST_SHAPES = 8  # of rows, for which all sizes are planned ahead

    def __init__(self, file, device, most):
        onnxruntime.preload_dlls(directory="")  # CUDA's libraries out of the packages beside it, where they are
        options = {
            "device_id": device,
            "use_tf32": "0",  # scores as on a CPU
            "cudnn_conv_algo_search": "HEURISTIC",  # a search takes seconds for each shape
        }
        providers = [("CUDAExecutionProvider", options), "CPUExecutionProvider"]
        self.sessions = {size: open_session(file, providers) for size in sizes_up_to(max(1, most))}
        first = next(iter(self.sessions.values()))
        if "CUDAExecutionProvider" not in first.get_providers():  # it takes the CPU without a word to its caller
            raise pb_utils.TritonModelException(
                "an instance of KIND_GPU needs onnxruntime-gpu, the CUDA libraries that it was built for, and a GPU; "
                f"this ONNX Runtime knows of {onnxruntime.get_available_providers()}"
            )
        self.inputs, self.outputs = names_of(first)
        self.planned = set()

    def __call__(self, arrays):
        shapes = tuple(array.shape[1:] for array in arrays)
        if shapes not in self.planned and len(self.planned) < self.MOST_SHAPES:
            # When the service warms up, so that no batch of this shape waits for a plan.
            for size in self.sessions:
                self.run(size, [np.zeros((size, *array.shape[1:]), array.dtype) for array in arrays])
            self.planned.add(shapes)
        rows = len(arrays[0])
        size = next(size for size in self.sessions if size >= rows)
        return self.run(size, [filled(array, size) for array in arrays])

    def run(self, size, arrays):
        return self.sessions[size].run(self.outputs, dict(zip(self.inputs, arrays)))


def open_session(file, providers):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(file, options, providers=providers)


def names_of(session):
    """Of its inputs and outputs."""
    return [tensor.name for tensor in session.get_inputs()], [tensor.name for tensor in session.get_outputs()]


def sizes_up_to(most):
    """1, 4, 16 and so on, and the largest."""
    sizes = [1]
    while sizes[-1] * 4 < most:
        sizes.append(sizes[-1] * 4)
    return sizes if most == 1 else [*sizes, most]


def filled(array, size):
    """Zeros after its rows; what becomes of them is left out of every response."""
    if len(array) == size:
        return array
    return np.concatenate([array, np.zeros((size - len(array), *array.shape[1:]), array.dtype)])
