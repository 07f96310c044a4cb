"""The farm's server: one list, the printers that take from it, and whoever asks."""
