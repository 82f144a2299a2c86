"""Points in time as people type them: `2026-03-01T12:00Z`, `2026-03-01`, or `90s`, `30m`, `2h`, `7d` ago."""

import re
from datetime import UTC, datetime, timedelta

from inferstream.errors import SettingsError

_AGO = re.compile(r"(\d{1,9})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_when(option: str, text: str | None, now: datetime) -> int | None:
    """Milliseconds since the epoch; None for None. Without a zone it is UTC. Raises SettingsError."""
    if text is None:
        return None
    try:
        ago = _AGO.fullmatch(text.strip())
        if ago is not None:
            at = now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        else:
            at = datetime.fromisoformat(text.strip())
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return int(at.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise SettingsError(
            f"{option} '{text}' is no time: write 2026-03-01T12:00Z, or 90s, 30m, 2h, 7d for as long ago"
        ) from None


def parse_range(since: str | None, until: str | None, now: datetime) -> tuple[int | None, int | None]:
    """What `--since` and `--until` say. Raises SettingsError, also if nothing can lie between them."""
    since_ms, until_ms = parse_when("--since", since, now), parse_when("--until", until, now)
    if since_ms is not None and until_ms is not None and until_ms <= since_ms:
        raise SettingsError(
            f"--until '{until}' ({show_when(until_ms)}) must be later than --since '{since}' ({show_when(since_ms)})"
        )
    return since_ms, until_ms


def show_when(unix_ms: int) -> str:
    """A timestamp to the second, in UTC; `-` for one that is none."""
    try:
        return datetime.fromtimestamp(unix_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if unix_ms >= 0 else "-"
    except (ValueError, OverflowError, OSError):
        return "-"
