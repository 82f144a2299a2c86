"""topics: create what the pipelines need and the cluster has not; what is there already is never changed."""

import asyncio
from collections.abc import Collection

from inferstream.errors import Unavailable
from inferstream.kafka import Admin
from inferstream.needs import check_topics, topics_of
from inferstream.settings import Settings

_LOOK_AGAIN_SECONDS = 0.1
_SEEN_SECONDS = 60.0  # however soon a broker must answer, a large cluster may be slow to make many topics


async def run_topics(settings: Settings, partitions: int, replication: int) -> int:
    """Print what was created; 0. Raises ContractMismatch if it would not fit what is there: then nothing is created."""
    needed = {topic: partitions for pipeline in settings.pipelines.values() for topic in topics_of(pipeline).values()}
    async with Admin(settings.kafka) as admin:
        there = await admin.partition_counts()
        check_topics(settings, {**needed, **there})
        missing = {topic: partitions for topic in sorted(needed) if topic not in there}
        if missing:
            await admin.create_topics(missing, replication)
            await _until_seen(admin, missing)
    for topic in sorted(needed):
        said = f"created, replicated {replication} times" if topic in missing else "was there"
        print(f"{topic}: {there.get(topic, partitions)} partitions, {said}")
    return 0


async def _until_seen(admin: Admin, topics: Collection[str]) -> None:
    """A broker hears of a new topic a moment after it was made."""
    try:
        async with asyncio.timeout(_SEEN_SECONDS):
            while set(topics) - (await admin.partition_counts()).keys():  # noqa: ASYNC110 - the broker must be asked
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    except TimeoutError:
        raise Unavailable(f"topics were created, but the broker does not show them: {', '.join(topics)}") from None
