"""The language and the link protocol: bytes in, bytes out, time passed in as an argument.

Nothing in here opens a file, a socket or a clock, so every rule of the protocol can be tested as arithmetic.
"""
