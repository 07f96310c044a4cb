"""Printing the rest of a lost print, from a place that the user confirms, as a file of its own.

`place` has the printer's state at a place in a file, and the commands that restore it; `proposal` finds the place;
`worker` does so in a process of its own; `service` serves the API.
"""
