"""Logs and the export of metrics; the only importer of opentelemetry."""
