"""What is told of the data path: how far it is behind, what leaves a trace, what was missed, whether inputs drift."""
