"""What must be known of the cluster before work begins: is it there, which topics, how many partitions, what size."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from types import TracebackType
from typing import TypeVar

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, LeaderNotAvailableError, TopicAlreadyExistsError, for_code

from inferstream.errors import LoginRefused, Unavailable
from inferstream.kafka.access.acls import Acl
from inferstream.kafka.access.rights import lacking
from inferstream.kafka.connection import client_arguments, kafka_errors
from inferstream.settings import KafkaSettings

_DEFAULT_MESSAGE_BYTES = 1_048_588  # Kafka's own default of max.message.bytes
_RETRY_SECONDS = 0.5

T = TypeVar("T")


class Admin:
    """A connection for questions about the cluster; an asynchronous context manager."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._give_up_at = 0.0
        self._connected: AIOKafkaAdminClient | None = None

    async def __aenter__(self) -> "Admin":
        """Wait for a broker for at most `start_timeout_ms`, less if it refuses us. Raises Unavailable."""
        self._give_up_at = asyncio.get_running_loop().time() + self._settings.start_timeout_ms / 1000
        await self._patiently(self._connect)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connected is not None:
            await self._connected.close()

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask again while the cluster has no answer: one node may be away, or just back, while others answer."""
        while True:
            try:
                return await ask()
            except LoginRefused:
                raise
            except Unavailable:
                if asyncio.get_running_loop().time() + _RETRY_SECONDS > self._give_up_at:
                    raise
                await asyncio.sleep(_RETRY_SECONDS)

    async def _connect(self) -> None:
        client = AIOKafkaAdminClient(**client_arguments(self._settings))
        try:
            with kafka_errors("connecting", self._settings):
                async with asyncio.timeout(self._settings.request_timeout_ms / 1000):
                    await client.start()
        except BaseException:
            await client.close()
            raise
        self._connected = client

    @property
    def _client(self) -> AIOKafkaAdminClient:
        if self._connected is None:
            raise RuntimeError("use `async with Admin(settings)`")
        return self._connected

    async def partition_counts(self) -> Mapping[str, int]:
        """Number of partitions of every topic we may see. Raises Unavailable, after `start_timeout_ms` in all."""
        return await self._patiently(self._partition_counts)

    async def _partition_counts(self) -> Mapping[str, int]:
        with kafka_errors("asking for the topics", self._settings):
            # All topics: naming one would create it where the broker creates topics by itself.
            async with asyncio.timeout(self._settings.request_timeout_ms / 1000):
                topics = await self._client.describe_topics()
        unready = [topic["topic"] for topic in topics if topic["error_code"] == LeaderNotAvailableError.errno]
        if unready:
            raise Unavailable(f"topic '{unready[0]}' has no leader at the moment")
        return {topic["topic"]: len(topic["partitions"]) for topic in topics if not topic["error_code"]}

    async def lacking(self, acls: Iterable[Acl]) -> list[Acl]:
        """Those of them that the broker does not grant us, as far as it tells. Raises as `partition_counts`."""
        wanted = list(acls)
        return await self._patiently(lambda: self._lacking(wanted))

    async def _lacking(self, acls: Iterable[Acl]) -> list[Acl]:
        with kafka_errors("asking for our rights", self._settings):
            async with asyncio.timeout(self._settings.request_timeout_ms / 1000):
                return await lacking(self._client, acls)

    async def max_message_bytes(self, topics: Collection[str]) -> Mapping[str, int]:
        """`max.message.bytes` of the topics; Kafka's default where the broker does not tell."""
        return dict.fromkeys(topics, _DEFAULT_MESSAGE_BYTES) | await self.told_max_message_bytes(topics)

    async def told_max_message_bytes(self, topics: Iterable[str]) -> dict[str, int]:
        """`max.message.bytes` of those topics of which the broker tells it (it may not be allowed to us)."""
        sizes: dict[str, int] = {}
        wanted = sorted(set(topics))
        resources = [ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": ""}) for topic in wanted]
        try:
            async with asyncio.timeout(self._settings.request_timeout_ms / 1000):
                answers = await self._client.describe_configs(resources)
        except (KafkaError, OSError, TimeoutError):
            return sizes
        for answer in answers:
            for error, _, _, name, entries in answer.resources:
                for entry in entries if not error else ():
                    if entry[0] == "max.message.bytes" and str(entry[1]).isdigit():
                        sizes[name] = int(entry[1])
        return sizes

    async def create_topics(
        self, topics: Mapping[str, int], replication: int = 1, max_message_bytes: Mapping[str, int] | None = None
    ) -> None:
        """Create topics (name to partitions) that do not exist. Raises Unavailable for what the broker refuses.

        `max_message_bytes` of those that are not to have the broker's default.
        """
        sizes = {name: {"max.message.bytes": str(size)} for name, size in (max_message_bytes or {}).items()}
        new = [
            NewTopic(name, partitions, replication, topic_configs=sizes.get(name))
            for name, partitions in topics.items()
        ]
        with kafka_errors("creating topics", self._settings):
            answer = await self._client.create_topics(new)
            for name, code, *_ in answer.topic_errors:
                if code not in (0, TopicAlreadyExistsError.errno):
                    raise Unavailable(f"topic '{name}' could not be created: {for_code(code).__name__}")
