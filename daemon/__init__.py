"""The service: configuration, job machine, store, HTTP, command line."""

__version__ = "0.1.0"

OCTOPRINT = "1.11.8"
"""The OctoPrint whose API this is; clients compare it with what they need."""
