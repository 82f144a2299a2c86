"""How large a record each topic takes: known at the start, asked again when the broker refuses one."""

import asyncio
from collections.abc import Mapping

from inferstream.errors import InferstreamError
from inferstream.kafka.admin import Admin
from inferstream.settings import KafkaSettings

_BATCH_BYTES = 524_288
_RECORD_BYTES = 1_000_000  # of a topic that nobody has told us about
_OVERHEAD_BYTES = 128  # a record batch's own header, counted against the topic's limit


class RecordLimits:
    """Limits in bytes by topic."""

    def __init__(self, settings: KafkaSettings, max_message_bytes: Mapping[str, int]) -> None:
        self._settings = settings
        self._limits = {topic: size - _OVERHEAD_BYTES for topic, size in max_message_bytes.items()}

    def of(self, topic: str) -> int:
        """Largest record (`OutRecord.size_bytes`) the topic takes, as far as known."""
        return self._limits.get(topic, _RECORD_BYTES)

    @property
    def batch_bytes(self) -> int:
        """Largest batch that every topic takes."""
        return min([_BATCH_BYTES, *self._limits.values()])

    async def refresh(self, topic: str) -> None:
        """Ask the broker again, for this topic and all that are known. Without an answer they stay."""
        try:
            async with asyncio.timeout(self._settings.request_timeout_ms / 1000), Admin(self._settings) as admin:
                told = await admin.told_max_message_bytes({topic, *self._limits})
        except (InferstreamError, TimeoutError):
            return
        self._limits.update({topic: size - _OVERHEAD_BYTES for topic, size in told.items()})
