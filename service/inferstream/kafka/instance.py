"""Static membership: our place in the group belongs to `group_instance_id`, and so to one process only."""

import time
from typing import Any

from aiokafka.errors import UnknownMemberIdError

from inferstream.kafka.codes import FencedInstanceId
from inferstream.kafka.connection import JOIN_GROUP, kafka_errors
from inferstream.settings import KafkaSettings

_HEARTBEAT = 12  # API key


class Instance:
    """Hears what a consumer asks and is answered, and finds out that another process has taken its place.

    The broker then does not know its member id any more, although it was never silent. aiokafka would join again under
    the same instance id and so throw out the other, which does the same, for ever. So it is kept from that.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._is_static = settings.group_instance_id is not None
        self._known_at = float("-inf")
        self._is_displaced = False

    def asks(self, request: Any) -> None:
        """Raises FencedInstanceId instead of taking the place back."""
        if self._is_displaced and request.API_KEY == JOIN_GROUP:
            raise FencedInstanceId

    def is_answered(self, response: Any) -> None:
        """Look at an answer of the broker."""
        if not self._is_static or getattr(response, "API_KEY", None) != _HEARTBEAT:
            return
        now = time.monotonic()
        if response.error_code == 0:
            self._known_at = now
        elif response.error_code == UnknownMemberIdError.errno:
            was_silent = now - self._known_at > self._settings.session_timeout_ms / 1000
            self._is_displaced = not was_silent

    def check(self) -> None:
        """Raises ContractMismatch if the place is not ours any more."""
        if self._is_displaced:
            with kafka_errors("staying in the group", self._settings):
                raise FencedInstanceId
