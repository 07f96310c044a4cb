"""What outlives the process: jobs, in SQLite."""
