"""The companion `mqtt`: publishes the state of printer and print to a broker, also for Home Assistant."""
