"""Going on with a print that was lost, by hand: where, with what before it, and the rest of the file as one of its own.

`place` is what holds at a place of a file, and the commands that bring a printer there; `proposal` finds the place in a
file; `worker` does so in a process of its own; `service` is what the API asks.
"""
