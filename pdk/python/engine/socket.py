"""Stands in for the module of this name, which others import: a plugin has no sockets."""


def __getattr__(name):
    raise AttributeError(f"a plugin has no socket.{name}: what it may reach, it reaches through call.http, call.dns or call.tcp")
