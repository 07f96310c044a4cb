"""The service: configuration, job machine, store, HTTP, command line."""

__version__ = "0.1.0"
