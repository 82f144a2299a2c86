"""Goes on with texts inside Triton's Python backend. Imports nothing of inferstream: it is copied beside the model.

The model is one step: characters and the states before them in, logits and the states after them out. All prompts
that are under way take their step together, those that still read their prompt, too; their states never leave here.
"""

import os
import queue
import threading

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils

MOST_AT_ONCE = 64
LEAST_AT_ONCE = 2  # a step of one row adds up in another order than that of several, and a text must not depend on it
STOP = "\n\n"
UNKNOWN = "?"


class Prompt:
    """A text under way, and who hears of it."""

    def __init__(self, request, numbers):
        def given(name):
            return pb_utils.get_input_tensor_by_name(request, name).as_numpy().reshape(-1)[0]

        text = given("text").decode("utf-8", "replace")
        self.unread = [numbers.get(character, numbers[UNKNOWN]) for character in reversed(text)]
        self.left = int(given("max_tokens"))
        self.temperature = float(given("temperature"))
        if not self.unread or self.left < 1 or not 0 <= self.temperature < float("inf"):
            raise ValueError("text must not be empty, max_tokens at least 1, temperature 0 or more")
        self.random = np.random.Generator(np.random.PCG64(int(given("seed")) & (2**64 - 1)))
        self.written = ""
        self.sender = request.get_response_sender()

    def choose(self, logits):
        """The next character by its number."""
        if self.temperature == 0:
            return int(logits.argmax())
        scaled = (logits.astype(np.float64) - logits.max()) / self.temperature
        shares = np.exp(scaled).cumsum()
        return int(np.searchsorted(shares, self.random.random() * shares[-1], side="right"))

    def write(self, character):
        """Send a character; whether the text goes on."""
        self.left -= 1
        self.written += character
        reason = "stop" if self.written.endswith(STOP) else "length" if self.left == 0 else ""
        tensors = [
            pb_utils.Tensor(name, np.array([[value.encode()]], object))
            for name, value in (("token", character), ("finish_reason", reason))
        ]
        flags = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL if reason else 0
        self.sender.send(pb_utils.InferenceResponse(tensors), flags=flags)
        return not reason


class TritonPythonModel:
    """`execute` hands prompts over to a thread, which writes all of them at once."""

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
        self.alphabet = self.session.get_modelmeta().custom_metadata_map["alphabet"]
        self.numbers = {character: number for number, character in enumerate(self.alphabet)}
        self.units = self.session.get_inputs()[1].shape[1]
        self.prompts = []
        self.states = np.zeros((0, self.units), np.float32)
        self.step()  # the first costs more than others
        self.waiting = queue.SimpleQueue()
        self.writer = threading.Thread(target=self.write, daemon=True)
        self.writer.start()

    def execute(self, requests):
        for request in requests:
            try:
                self.waiting.put(Prompt(request, self.numbers))
            except ValueError as error:
                refuse(request.get_response_sender(), str(error), pb_utils.TritonError.INVALID_ARG)
        return None

    def finalize(self):
        self.waiting.put(None)
        self.writer.join()

    def write(self):
        """Take a step with all prompts, again and again, until told to end."""
        while self.take():
            try:
                self.go_on()
            except Exception as error:
                for prompt in self.prompts:
                    refuse(prompt.sender, f"a step failed: {error}", pb_utils.TritonError.INTERNAL)
                self.keep([False] * len(self.prompts))

    def take(self):
        """New prompts join while there is room; with none at all, wait for one. False: it is over."""
        while len(self.prompts) < MOST_AT_ONCE:
            try:
                prompt = self.waiting.get(block=not self.prompts)
            except queue.Empty:
                break
            if prompt is None:
                return False
            self.prompts.append(prompt)
            self.states = np.concatenate([self.states, np.zeros((1, self.units), np.float32)])
        return True

    def go_on(self):
        logits = self.step()
        kept = []
        for prompt, row in zip(self.prompts, logits):
            if prompt.sender.is_cancelled():
                prompt.sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
                kept.append(False)
            elif len(prompt.unread) > 1:
                prompt.unread.pop()
                kept.append(True)
            else:
                chosen = prompt.choose(row)
                prompt.unread = [chosen]
                kept.append(prompt.write(self.alphabet[chosen]))
        if not all(kept):
            self.keep(kept)

    def step(self):
        """One character of each prompt; the logits of what follows it."""
        count = len(self.prompts)
        more = max(0, LEAST_AT_ONCE - count)
        tokens = np.array([prompt.unread[-1] for prompt in self.prompts] + [0] * more, np.int64)
        states = np.concatenate([self.states, np.zeros((more, self.units), np.float32)])
        logits, after = self.session.run(["logits", "state_after"], {"token": tokens, "state": states})
        self.states = after[:count]
        return logits[:count]

    def keep(self, kept):
        self.prompts = [prompt for prompt, is_kept in zip(self.prompts, kept) if is_kept]
        self.states = self.states[np.array(kept, bool)]


def refuse(sender, said, code):
    error = pb_utils.TritonError(said, code)
    response = pb_utils.InferenceResponse(error=error)
    sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
