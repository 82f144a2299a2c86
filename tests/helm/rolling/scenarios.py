"""The runs: each on a stage of its own, each ending with the audit of all its events."""

import asyncio
from functools import partial
from pathlib import Path
from typing import NamedTuple

from loadtest.errors import LoadTestError
from tests.helm.rendering import Object
from tests.helm.rolling.load import Load
from tests.helm.rolling.stage import Options, Stage, external_triton, prepare, staged, values
from tests.helm.rolling.steps import SILENCE_SECONDS, Result, changed, rotate, step

from inferstream.operate.audit import reconcile
from inferstream.operate.pipelines import choose
from inferstream.settings import load as load_settings

_LOGIN_MS = 15_000
_CAPACITY_SECONDS, _CAPACITY_IN_TIME = 20.0, 0.99
_FACTORS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
_ALONE_SECONDS = 30.0  # nobody answers for a pod that is the only one
_SCALE_SHARE = 0.6  # of the time that an upgrade gets


class Given(NamedTuple):
    """Of the command."""

    folder: Path
    events_per_second: float
    seconds: float
    slo_ms: int


async def workload(given: Given, kind: str) -> list[Result]:
    """An upgrade of three pods, a fourth one, and three again."""
    tag, folder = kind.lower(), given.folder / kind.lower()
    async with staged(Options(folder, 0)) as stage:
        with external_triton(folder) as triton:
            chart = values(stage, tag, kind, triton, given.slo_ms)
            await _install(stage, tag, chart)
            results = []
            new = changed(chart, log={"format": "json"})
            # The place of a static member that does not come back is kept until its session ends.
            kept = load_settings(environ={}).kafka.session_timeout_ms / 1000 if kind == "StatefulSet" else 0.0
            for name, after, share, limit in (
                ("upgrade", new, 1.0, SILENCE_SECONDS),
                ("3 to 4", {**new, "replicaCount": 4}, _SCALE_SHARE, SILENCE_SECONDS),
                ("4 to 3", new, _SCALE_SHARE, SILENCE_SECONDS + kept),
            ):
                load = _load(stage, given, tag, folder / name.replace(" ", "-"), share)
                act = partial(stage.helm, "upgrade", after)
                results.append(await step(stage, f"{kind} {name}", load, act, limit))
            await _audit(stage, chart)
            await stage.helm("uninstall")
    return results


async def capacity(given: Given) -> list[Result]:
    """Three pods left alone, at higher and higher rates, until fewer than 99 % are in time."""
    tag, folder = "capacity", given.folder / "capacity"
    results: list[Result] = []
    async with staged(Options(folder, 0)) as stage:
        with external_triton(folder) as triton:
            chart = values(stage, tag, "Deployment", triton, given.slo_ms)
            await _install(stage, tag, chart)
            for factor in _FACTORS:
                rate = given.events_per_second * factor
                load = given._replace(events_per_second=rate, seconds=_CAPACITY_SECONDS)
                name = f"{rate:.0f} events/s"
                results.append(await step(stage, name, _load(stage, load, tag, folder / f"{rate:.0f}", 1.0), _nothing))
                if results[-1].in_time < _CAPACITY_IN_TIME:
                    break
            await stage.helm("uninstall")
    return results


async def _nothing() -> None:
    pass


async def rotation(given: Given) -> list[Result]:
    """A new password while logins hold for some seconds only."""
    tag, folder = "rotation", given.folder / "rotation"
    async with staged(Options(folder, _LOGIN_MS)) as stage:
        with external_triton(folder) as triton:
            chart = values(stage, tag, "Deployment", triton, given.slo_ms)
            await _install(stage, tag, chart)

            async def new_password() -> None:
                await rotate(stage, "second-password")
                await asyncio.sleep(2 * _LOGIN_MS / 1000)  # every connection is a new one by now

            before = _load(stage, given, tag, folder / "before", _SCALE_SHARE)
            results = [await step(stage, f"logins hold {_LOGIN_MS // 1000} s", before, _nothing)]
            change = _load(stage, given, tag, folder / "change", 1.0)
            results.append(await step(stage, "new password", change, new_password))
            await _audit(stage, chart)
            await stage.helm("uninstall")
    return results


async def sidecar(given: Given) -> Result:
    """One pod with a Triton beside it goes while there is load. Raises LoadTestError if the order is not kept."""
    tag, folder = "sidecar", given.folder / "sidecar"
    async with staged(Options(folder, 0)) as stage:
        chart = {**values(stage, tag, "StatefulSet", "", given.slo_ms), "replicaCount": 1, "triton": {}}
        del chart["config"]["triton"]
        await _install(stage, tag, chart)
        new = changed(chart, log={"format": "json"})
        load = _load(stage, given, tag, folder / "load", _SCALE_SHARE)
        act = partial(stage.helm, "upgrade", new)
        result = await step(stage, "one pod with its Triton", load, act, _ALONE_SECONDS)
        await _audit(stage, chart)
        await stage.helm("uninstall")
        _check_order(stage)
    return result


def _check_order(stage: Stage) -> None:
    """Models, Triton, service; then the service ends, and Triton after it."""
    said = [(each.container, each.what) for each in stage.said]
    first = [
        ("models", "ended with 0"),
        ("triton", "runs"),
        ("triton", "has started"),
        ("service", "runs"),
        ("service", "is ready"),
        ("service", "SIGTERM"),
        ("service", "ended with 0"),
        ("triton", "SIGTERM"),
    ]
    places = [said.index(each) if each in said else -1 for each in first]
    if -1 in places or places != sorted(places):
        raise LoadTestError(f"the order was not kept: {dict(zip(first, places, strict=True))}")


async def _install(stage: Stage, tag: str, chart: Object) -> None:
    await asyncio.to_thread(prepare, stage, tag, chart)
    await stage.helm("install", chart)


def _load(stage: Stage, given: Given, tag: str, folder: Path, share: float) -> Load:
    kafka = f"localhost:{stage.broker.inside}"
    return Load(kafka, tag, given.events_per_second, given.seconds * share, given.slo_ms, folder)


async def _audit(stage: Stage, chart: Object) -> None:
    """Raises LoadTestError unless every event has exactly one outcome."""
    pipeline = chart["config"]["pipelines"]["fraud"]
    environ = {"INFERSTREAM__KAFKA__BOOTSTRAP_SERVERS": f"localhost:{stage.broker.inside}"}
    environ |= {f"INFERSTREAM__PIPELINES__FRAUD__{name.upper()}": str(value) for name, value in pipeline.items()}
    settings = load_settings(environ=environ)
    report = await reconcile(settings, choose(settings, None))
    if report.problems or report.repeats:
        raise LoadTestError(f"the audit fails: {report.counts}, {report.repeats} repeated; {report.problems}")
