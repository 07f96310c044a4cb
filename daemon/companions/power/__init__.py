"""The companion `power`: switches the printer and other devices, and watches filament sensors and the stop button."""
