"""A simulated printer: the device end of the protocol, a machine with heat and motion, and a clock to run it on.

`firmware` is sans-IO; `memory` connects it to a host in the same process, `pty` and `tcp` to any program.
"""
