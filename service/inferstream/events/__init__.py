"""What all events share, whatever is inferred from them: record, envelope, headers, codecs, outcome, dead letter.

Pure: no clock, no loop, no IO. The wire contract these types implement is in `schemas/`.
"""
