"""Names of ours that a broker sees, beside those in the settings."""

CONTROL, MODEL, REPLAY = ".control", ".model", ".replay"
"""What follows a pipeline's group in the groups that nobody joins: quarantined partitions, pinned version, replays."""


def transactional_prefix(topic: str, group: str) -> str:
    """How the transactional ids of a pipeline begin; the number of the input partition follows."""
    return f"{group}.{topic}."
