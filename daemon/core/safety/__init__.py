"""When heaters have to go off, and who looks."""
