"""topics: create what the pipelines need and the cluster has not; what is there already is never changed."""

import asyncio
from collections.abc import Collection, Mapping

from inferstream.errors import Unavailable
from inferstream.kafka import Admin
from inferstream.needs import check_topics, topics_of
from inferstream.settings import Settings

HEADERS_BYTES = 4_096
"""What a dead letter has beside its event, at least."""
_ROOM_FOR_HEADERS = 16 * HEADERS_BYTES
_LOOK_AGAIN_SECONDS = 0.1
_SEEN_SECONDS = 60.0  # however soon a broker must answer, a large cluster may be slow to make many topics


async def run_topics(settings: Settings, partitions: int, replication: int) -> int:
    """Print what was created; 0. Raises ContractMismatch if it would not fit what is there: then nothing is created."""
    needed = {topic: partitions for pipeline in settings.pipelines.values() for topic in topics_of(pipeline).values()}
    async with Admin(settings.kafka) as admin:
        there = await admin.partition_counts()
        check_topics(settings, {**needed, **there})
        missing = {topic: partitions for topic in sorted(needed) if topic not in there}
        await create(admin, settings, missing, replication)
    for topic in sorted(needed):
        said = f"created, replicated {replication} times" if topic in missing else "was there"
        print(f"{topic}: {there.get(topic, partitions)} partitions, {said}")
    return 0


async def create(admin: Admin, settings: Settings, topics: Mapping[str, int], replication: int = 1) -> None:
    """Create topics (name to partitions) of the settings that are not there, and wait until the broker shows them.

    A dead letter is its event and headers: its topic takes more than the input topics that lead to it.
    """
    inputs: dict[str, set[str]] = {}
    for pipeline in settings.pipelines.values():
        inputs.setdefault(pipeline.dead_letter_topic, set()).add(pipeline.input_topic)
    if others := {name: count for name, count in topics.items() if name not in inputs}:
        await admin.create_topics(others, replication)
        await _until_seen(admin, others)
    if letters := {name: count for name, count in topics.items() if name in inputs}:
        sizes = await admin.max_message_bytes({source for name in letters for source in inputs[name]})
        room = {name: max(sizes[source] for source in inputs[name]) + _ROOM_FOR_HEADERS for name in letters}
        await admin.create_topics(letters, replication, room)
        await _until_seen(admin, letters)


async def _until_seen(admin: Admin, topics: Collection[str]) -> None:
    """A broker hears of a new topic a moment after it was made."""
    try:
        async with asyncio.timeout(_SEEN_SECONDS):
            while set(topics) - (await admin.partition_counts()).keys():  # noqa: ASYNC110 - the broker must be asked
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    except TimeoutError:
        raise Unavailable(f"topics were created, but the broker does not show them: {', '.join(topics)}") from None
