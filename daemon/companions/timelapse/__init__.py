"""The companion `timelapse`: takes a picture of each layer, and makes a film of them when the printer is idle."""
