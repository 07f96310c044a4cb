"""Set-up of a farm's NATS server: its configuration, users and certificates."""
