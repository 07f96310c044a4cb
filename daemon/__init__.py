"""The service: configuration, job machine, store, HTTP, command line."""

__version__ = "0.1.0"

OCTOPRINT_VERSION = "1.11.8"
"""The version of OctoPrint whose API the service offers; clients compare it with the version that they need."""
