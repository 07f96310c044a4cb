"""The engine beneath the farm: NATS' configuration, who may speak with it, and its certificates."""
