"""The hand-written batch loop that good teams end up with, on confluent-kafka."""
