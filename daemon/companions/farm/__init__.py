"""The agent beside a printer: takes copies of the farm's jobs, has them printed, and tells what became of them."""
