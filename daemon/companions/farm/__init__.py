"""The agent of a printer: takes copies of the farm's jobs, has them printed, and reports how they ended."""
