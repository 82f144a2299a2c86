"""The one port: `/livez`, `/readyz`, `/metrics`."""

from inferstream.web.server import Health, WebServer

__all__ = ["Health", "WebServer"]
