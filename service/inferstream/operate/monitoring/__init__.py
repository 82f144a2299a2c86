"""The settings as rules, charts and tables for those who watch the service."""
