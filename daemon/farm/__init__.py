"""The farm: one list of jobs for many printers, carried by NATS; each printer keeps its own service."""
