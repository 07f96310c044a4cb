"""What is known of uploaded files before and while they are printed.

`worker` is a process of its own, the only part of the service that loads NumPy; `service` feeds it and keeps what it
finds; `findings` is what the rest of the daemon sees.
"""
