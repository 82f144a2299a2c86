"""What people do with the service from a terminal: a module per command."""
