"""The model server's own account of its work, asked now and then: how long requests queued and were computed, and so
whether others ask a model too."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import grpc
from tritonclient.grpc import service_pb2

from inferstream.errors import Unavailable
from inferstream.signals import Signals
from inferstream.triton.client import TritonModel
from inferstream.triton.server import TritonServer

_INTERVAL = 2.0  # seconds
_TIMEOUT = 2.0
_PHASES = ("queue", "compute_input", "compute_infer", "compute_output")


async def keep_accounts(
    servers: Sequence[TritonServer],
    models: Mapping[str, Iterable[tuple[str, str]]],
    answering: Mapping[str, Sequence[TritonModel]],
    signals: Signals,
) -> None:
    """Ask every server for the models of each pipeline (name and version; empty: all), for ever.

    The one that answers, of which there is one for each server, is told what was computed.
    """
    accounts = []
    for pipeline, asked in models.items():
        for (name, version), (server, own) in product(asked, zip(servers, answering[pipeline], strict=True)):
            is_own = (name, version) == (own.name, "")
            accounts.append(Account(server, pipeline, name, version, signals, own.computed if is_own else _nobody))
    while True:
        await asyncio.gather(*(account.ask() for account in accounts))
        await asyncio.sleep(_INTERVAL)


def _nobody(rows: float) -> None:
    """Is told."""


class Account:
    """Of one model on one server. What was counted before we first asked is not ours to show."""

    def __init__(
        self,
        server: TritonServer,
        pipeline: str,
        name: str,
        version: str,
        signals: Signals,
        told: Callable[[float], None] = _nobody,
    ) -> None:
        """`told` hears how many rows were computed since the last time."""
        self._server = server
        self._told = told
        self._wanted = service_pb2.ModelStatisticsRequest(name=name, version=version)
        labels = pipeline, ":".join(part for part in (name, version) if part), server.url
        self._cells = {phase: signals.server_seconds.cell(*labels, phase) for phase in _PHASES}
        self._cells |= {"rows": signals.server_rows.cell(*labels), "batches": signals.server_batches.cell(*labels)}
        self._before: dict[str, dict[str, float]] | None = None

    async def ask(self) -> None:
        """Add what has come since the last time. A server without such an account, or away, is left alone."""
        try:
            answer = await self._server.ask("ModelStatistics", self._wanted, _TIMEOUT)
        except (grpc.RpcError, Unavailable):
            return
        found = {stats.version: _figures(stats) for stats in answer.model_stats}
        if self._before is not None:
            before = self._before
            self._told(sum(self._add(figures, before.get(version, {})) for version, figures in found.items()))
        self._before = {**(self._before or {}), **found}

    def _add(self, figures: Mapping[str, float], before: Mapping[str, float]) -> float:
        """The rows. A server that was started again counts from zero."""
        has_restarted = figures["rows"] < before.get("rows", 0)
        new = {name: value if has_restarted else max(0, value - before.get(name, 0)) for name, value in figures.items()}
        for name, value in new.items():
            self._cells[name].add(value)
        return new["rows"]


def _figures(stats: Any) -> dict[str, float]:
    phases = {phase: getattr(stats.inference_stats, phase).ns / 1e9 for phase in _PHASES}
    return {**phases, "rows": stats.inference_count, "batches": stats.execution_count}
