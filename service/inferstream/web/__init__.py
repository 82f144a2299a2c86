"""The one port: `/livez`, `/readyz`, `/metrics`."""

from inferstream.web.server import Front, Health, WebServer

__all__ = ["Front", "Health", "WebServer"]
