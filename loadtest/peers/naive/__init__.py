"""The first thing one writes: an aiokafka loop that scores one event after the other."""
