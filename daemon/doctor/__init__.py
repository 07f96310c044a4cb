"""What usually goes wrong around a printer host, looked for and told in plain words; and a bundle for a bug report.

`checks` look at a `View` of the machine and at nothing else. None opens a serial port or changes anything, so a print
that is under way is not disturbed.
"""
