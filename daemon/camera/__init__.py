"""Cameras: other people's programs, which are asked for pictures over HTTP. For the front and for the timelapse."""
