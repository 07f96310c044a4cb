"""The companion `mqtt`: what printer and print do, told to a broker, and to Home Assistant by it."""
