"""Cameras: fetches pictures over HTTP from camera programs, for the front and for timelapses."""
