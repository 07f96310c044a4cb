"""A simulated printer: the device end of the protocol, a machine with heat and motion, a clock to run it on.

`firmware` is sans-IO; `memory` connects it to a host in the same process, `pty` to any program.
"""
