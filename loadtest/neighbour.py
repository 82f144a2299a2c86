"""What a hostile topic costs its neighbour: the same load with and without one, in turns, in one process.

`python -m loadtest.neighbour` prints the share in time of a healthy pipeline while a second one, in the same service,
gets nothing, and while it gets as many events, all of them hostile. Quarantine is off, else the hostile partitions
would be held after a hundred of them; `--quarantine` leaves it as it is by default.
"""

import argparse
import asyncio
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import msgspec
from confluent_kafka import Producer

from inferstream.errors import InferstreamError
from inferstream.tasks.fraud import Transaction
from inferstream.traffic import stream
from loadtest import topics
from loadtest.bench import Bench
from loadtest.errors import LoadTestError
from loadtest.hostility import Attack, attacks
from loadtest.processes import end_cleanly_on_sigterm, environment
from loadtest.result import Run
from loadtest.scenario import Scenario, parse

_PARTITIONS = 4
_PIPELINE = "INFERSTREAM__PIPELINES__NEIGHBOUR__"
_RARE_BYTES = 4_096  # a larger attack comes once in so many, or the broker would be what is measured
_RARE = 50
_NOT_SENT = frozenset({"no value", "oversize", "10,000 headers"})


def scenario(rate: float, seconds: float, slo_ms: int, tag: str, quarantine: bool) -> Scenario:
    """A steady load of payments, and the settings of a second pipeline beside it."""
    second = {
        "TASK": "fraud",
        "INPUT_TOPIC": f"{tag}-in",
        "OUTPUT_TOPIC": f"{tag}-out",
        "DEAD_LETTER_TOPIC": f"{tag}-dead",
        "GROUP": f"{tag}-group",
        "SLO_MS": str(slo_ms),
        "DEAD_LETTER_LIMIT__ENABLED": json.dumps(quarantine),
    }
    content = {"name": "neighbour", "slo_ms": slo_ms, "arrivals": {"kind": "poisson", "rate": rate}, "seconds": seconds}
    environ = {f"{_PIPELINE}{name}": value for name, value in second.items()}
    return parse({**content, "warm_up_s": 2.0, "environ": environ}, "neighbour")


def hostile_events() -> Iterator[Attack]:
    """All attacks that are poison, in turn, large ones now and then; the others would share the model, as any load."""
    payment: object = next(stream())[0]
    known = attacks(msgspec.msgpack.encode(payment))
    of = {name: attack for name, attack in known.items() if name not in _NOT_SENT and not _is_scored(attack)}
    small = itertools.cycle([attack for attack in of.values() if len(attack.value or b"") < _RARE_BYTES])
    large = itertools.cycle([attack for attack in of.values() if len(attack.value or b"") >= _RARE_BYTES])
    for number in itertools.count(1):
        yield next(large) if number % _RARE == 0 else next(small)


def _is_scored(attack: Attack) -> bool:
    try:
        msgspec.msgpack.decode(attack.value or b"", type=Transaction)
    except Exception:
        return False
    return True


def send(kafka: str, topic: str, rate: float) -> None:
    """Until we are ended: so many hostile events a second."""
    producer = Producer({"bootstrap.servers": kafka, "linger.ms": 1, "log_level": 2})
    began = time.monotonic()
    for number, attack in enumerate(hostile_events()):
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
        producer.produce(topic, attack.value, attack.key, number % _PARTITIONS, headers=list(attack.headers))
        producer.poll(0)


@contextmanager
def sending(kafka: str, topic: str, rate: float) -> Iterator[None]:
    """Hostile events come while this is entered."""
    command = [sys.executable, "-m", "loadtest.neighbour", "--send-to", topic, "--kafka", kafka, "--rate", str(rate)]
    process = subprocess.Popen(command, env=environment())
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


async def compare(given: argparse.Namespace) -> dict[str, list[float]]:
    """Shares in time, run by run, without a hostile neighbour and with one."""
    end_cleanly_on_sigterm()
    shares: dict[str, list[float]] = {"alone": [], "beside": []}
    async with Bench(given.kafka) as bench:
        for number in range(given.runs):
            for kind in shares if number % 2 == 0 else reversed(shares):
                run = await _run(bench, given, f"neighbour-{kind}-{number}", kind == "beside")
                if run["void"]:
                    print(f"{kind:7} void: {run['void']}", flush=True)
                    continue
                shares[kind].append(run["answered_in_time_ratio"])
                print(f"{kind:7} {shares[kind][-1]:.4%} in time, {run['counts']}", flush=True)
    if not all(shares.values()):
        raise LoadTestError("nothing can be compared: all runs of one kind are void")
    return shares


async def _run(bench: Bench, given: argparse.Namespace, tag: str, is_beside: bool) -> Run:
    """One run of the payments."""
    kafka = bench.place.kafka
    topics.create(kafka, tag, _PARTITIONS)
    load = scenario(given.rate, given.seconds, given.slo_ms, tag, given.quarantine)
    with sending(kafka, f"{tag}-in", given.rate) if is_beside else nullcontext():
        run = await bench.run("service", load)
    topics.delete(kafka, tag)
    return run


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.neighbour", description=__doc__)
    parser.add_argument("--kafka", default="apache", help="apache or embedded")
    parser.add_argument("--rate", type=float, default=500, help="events per second, of each topic")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each run")
    parser.add_argument("--slo-ms", type=int, default=50)
    parser.add_argument("--runs", type=int, default=5, help="of each")
    parser.add_argument("--quarantine", action="store_true", help="let the hostile partitions be held")
    parser.add_argument("--send-to", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.send_to:
        send(given.kafka, given.send_to, given.rate)
        return
    try:
        shares = asyncio.run(compare(given))
    except InferstreamError as error:
        sys.exit(f"loadtest: error: {error}")
    alone, beside = (statistics.median(shares[kind]) for kind in ("alone", "beside"))
    runs = " and ".join(str(len(shares[kind])) for kind in ("alone", "beside"))
    print(f"in time: alone {alone:.3%}, beside a hostile topic {beside:.3%} (medians of {runs})")


if __name__ == "__main__":
    main()
