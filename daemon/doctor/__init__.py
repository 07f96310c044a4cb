"""Checks for common problems of a printer host, each with an explanation and a fix; and a bundle for a bug report.

Checks look at a `View` of the machine and at nothing else. None opens a serial port or changes anything, so a print
under way is not disturbed.
"""
