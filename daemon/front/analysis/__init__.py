"""The analysis of uploaded files, before and while they are printed.

`worker` is a process of its own, as only such processes of the service load NumPy; `service` feeds it and stores its
results; `findings` has them for the rest of the daemon.
"""
