"""`nozzled power`: switches the printer's power, watches filament sensors and the stop button."""
