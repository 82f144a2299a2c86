"""What no contestant can exceed on this machine: Kafka without a model, and the model without Kafka."""
