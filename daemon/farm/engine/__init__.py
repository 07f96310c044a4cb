"""Set-up of the NATS server beneath a farm: its configuration, users and certificates."""
