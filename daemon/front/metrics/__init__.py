"""Metrics for Prometheus, collected at each scrape."""
