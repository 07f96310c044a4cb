"""The connection between the farm's server and its agents: over NATS, or in memory for the virtual clock."""
