"""The one port: `/livez`, `/readyz`, `/metrics`, and the live page at `/`."""

from inferstream.web.live import Live
from inferstream.web.names import told
from inferstream.web.server import Front, Health, WebServer

__all__ = ["Front", "Health", "Live", "WebServer", "told"]
