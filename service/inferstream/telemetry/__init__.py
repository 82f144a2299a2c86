"""Logs, traces and the export of metrics; beside the local collector the only importer of opentelemetry."""
