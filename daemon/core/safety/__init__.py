"""The rules for heaters, and the guard that applies them."""
