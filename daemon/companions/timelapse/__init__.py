"""Timelapse: a process that takes a picture each layer, and makes a film of them when the printer is idle."""
