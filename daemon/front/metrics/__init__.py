"""Metrics: what Prometheus keeps a record of, put together when it asks."""
