"""What keeps a run of chaos from being one."""


class ChaosError(Exception):
    """The run says nothing about the service: a part of it could not be started or read. One clear line."""
