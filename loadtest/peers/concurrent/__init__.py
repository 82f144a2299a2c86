"""The first improvement: many events at once, each a call of its own, and Triton batches."""
