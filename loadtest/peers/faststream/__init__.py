"""FastStream with a batch subscriber."""
