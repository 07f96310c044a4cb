"""Packed files that contain G-code."""
