"""What all Python peers share: what the load tool tells them, and a list of input values turned into output values.

Decoding and features are the service's own code, so that peers differ in how they take, batch and write, and in
nothing else. A model server that is away is waited for, as a service in production would.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.grpc.aio import InferenceServerClient as AsyncInferenceServerClient
from tritonclient.utils import InferenceServerException

from inferstream.tasks.fraud import FraudTask, Transaction
from inferstream.tasks.fraud.features import features

Options = TypeVar("Options", bound=msgspec.Struct)

_AGAIN_SECONDS = 0.1
_AWAY = "StatusCode.UNAVAILABLE"
_TASK = FraudTask()
_decode = msgspec.msgpack.Decoder(Transaction).decode
_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True)
class Job(Generic[Options]):
    """What the load tool tells a peer."""

    kafka: str
    triton: str
    model: str
    source: str
    target: str
    group: str
    options: Options


def read_job(options: type[Options]) -> Job[Options]:
    """The job in the environment. A peer's options are the fields of `options`; an unknown one ends the process."""
    environ = os.environ
    try:
        return Job(
            kafka=environ["LOADTEST_KAFKA"],
            triton=environ["LOADTEST_TRITON"],
            model=environ["LOADTEST_MODEL"],
            source=environ["LOADTEST_INPUT"],
            target=environ["LOADTEST_OUTPUT"],
            group=environ["LOADTEST_GROUP"],
            options=msgspec.json.decode(environ.get("LOADTEST_OPTIONS", "{}"), type=options),
        )
    except msgspec.MsgspecError as error:
        raise SystemExit(f"LOADTEST_OPTIONS: {error}; see loadtest/peers/README.md") from None
    except KeyError as error:
        raise SystemExit(f"{error.args[0]} is not set: peers are started by the load tool") from None


def say_ready() -> None:
    """Tell the load tool that this peer has its partitions."""
    print("ready", flush=True)


class Scorer:
    """Scores with one blocking call per list."""

    def __init__(self, triton: str, model: str) -> None:
        self._client = InferenceServerClient(triton)
        self._model = model

    def score(self, values: Sequence[bytes]) -> list[bytes]:
        """One output value for every input value."""
        events = [_decode(value) for value in values]
        inputs = _inputs(events)
        while True:
            try:
                return outputs(events, _probability(self._client.infer(self._model, inputs)))
            except InferenceServerException as error:
                _pass_on_unless_away(error)
                time.sleep(_AGAIN_SECONDS)


class AsyncScorer:
    """Scores with one call per list on the event loop. Must be made on the running loop."""

    def __init__(self, triton: str, model: str) -> None:
        self._client = AsyncInferenceServerClient(triton)
        self._model = model

    async def score(self, values: Sequence[bytes]) -> list[bytes]:
        """One output value for every input value."""
        events = [_decode(value) for value in values]
        inputs = _inputs(events)
        while True:
            try:
                return outputs(events, _probability(await self._client.infer(self._model, inputs)))
            except InferenceServerException as error:
                _pass_on_unless_away(error)
                await asyncio.sleep(_AGAIN_SECONDS)

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()


def outputs(events: Sequence[Transaction], probability: npt.NDArray[np.float32]) -> list[bytes]:
    """The output value of every event."""
    return [
        _encode({"id": event.transaction_id, "probability": value, "decision": _decision(value)})
        for event, value in zip(events, probability.tolist(), strict=True)
    ]


def _decision(probability: float) -> str:
    if probability >= _TASK.decline:
        return "decline"
    return "review" if probability >= _TASK.review else "approve"


def _inputs(events: Sequence[Transaction]) -> list[InferInput]:
    rows = features(events)
    tensor = InferInput("features", rows.shape, "FP32")
    tensor.set_data_from_numpy(rows)
    return [tensor]


def _probability(result: Any) -> npt.NDArray[np.float32]:
    found: npt.NDArray[np.float32] = result.as_numpy("probability")[:, 0]
    return found


def _pass_on_unless_away(error: InferenceServerException) -> None:
    if error.status() != _AWAY:
        raise error
