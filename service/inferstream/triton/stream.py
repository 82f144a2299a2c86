"""A call that is answered many times: `ModelStreamInfer`, a stream of its own for each request.

Streams of one connection are cheap. With one for each request, what ends it ends nobody else's: a deadline, a refusal,
or that we stop listening, which is how the server hears that it may stop, too.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from inferstream.errors import ModelError, Unavailable
from inferstream.events.outcome import Cause

_CODES = (("triton_grpc_error", "true"),)
"""What a model refuses comes with its gRPC code. Without it, and where the server itself refuses a request, refusals
are texts in a stream that says OK."""


async def answers(
    server: Any, message: Any, timeout: float, traceparent: bytes | None = None
) -> AsyncGenerator[Any, None]:
    """Each ModelInferResponse to the request, to the last one; cancels the call when closed.

    Raises grpc.RpcError, Unavailable if the connection was given up, ModelError if the stream has no proper end.
    """
    message.parameters["triton_enable_empty_final_response"].bool_param = True
    traced = () if traceparent is None else (("traceparent", traceparent.decode()),)
    given = (*server.headers, *_CODES, *traced)
    call = server.stub.ModelStreamInfer(iter([message]), timeout=timeout, metadata=given)
    try:
        async for response in call:
            if response.error_message:
                raise ModelError(Cause.MODEL_ERROR, response.error_message[:300])
            answer = response.infer_response
            if answer.outputs:
                yield answer
            if answer.parameters["triton_final_response"].bool_param:
                return
    except asyncio.CancelledError:
        # Closing a channel cancels its calls. Whoever waits for one is not cancelled by that.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise Unavailable(f"the connection to {server.url} was given up") from None
    finally:
        call.cancel()
    raise ModelError(Cause.MODEL_ERROR, "the model's stream ended before its last answer")
