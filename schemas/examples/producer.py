"""A producer of transactions, with nothing but aiokafka and msgpack: python producer.py localhost:9092 --count 100"""

import argparse
import asyncio
import random
import time
import uuid

import msgpack
from aiokafka import AIOKafkaProducer


def transaction() -> dict[str, object]:
    """See transaction.v1.json. Aggregates are optional; without them the model knows less."""
    return {
        "transaction_id": str(uuid.uuid4()),
        "card_id": f"c{random.randrange(2000):06d}",
        "terminal_id": f"p{random.randrange(4000):06d}",
        "merchant_id": f"m{random.randrange(1300):06d}",
        "merchant_category": 5411,
        "amount": round(random.lognormvariate(3.3, 0.8), 2),
        "currency": "EUR",
        "timestamp_ms": int(time.time() * 1000),
        "channel": "contactless",
        "country": "FR",
    }


async def produce(bootstrap: str, topic: str, count: int, slo_ms: int | None) -> None:
    headers = [("content-type", b"application/msgpack"), ("schema", b"transaction.v1")]
    if slo_ms is not None:
        headers.append(("slo-ms", str(slo_ms).encode()))  # counted from the record's timestamp
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True) as producer:
        sent = []
        for _ in range(count):
            event = transaction()
            # The key keeps a card's transactions in order: they share a partition.
            key = str(event["card_id"]).encode()
            sent.append(await producer.send(topic, msgpack.packb(event), key=key, headers=headers))
        await asyncio.gather(*sent)
    print(f"{count} transactions sent to {topic}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bootstrap", help="host:port of the broker")
    parser.add_argument("--topic", default="transactions")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--slo-ms", type=int, help="deadline of these events, instead of the pipeline's own")
    given = parser.parse_args()
    asyncio.run(produce(given.bootstrap, given.topic, given.count, given.slo_ms))
