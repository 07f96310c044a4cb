"""Analyses a whole file: its time, layers, filament and faults.

Only this part of `gcode` may import NumPy. It runs in a process of its own, so the service itself never loads NumPy.
"""
