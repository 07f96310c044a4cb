"""The whole file at once: time, layers, filament, and what is wrong with it.

The only place in `gcode` where NumPy may be imported. The service runs it in a process of its own, so the service
itself never loads NumPy.
"""
