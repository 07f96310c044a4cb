"""The list of jobs: SQL, the only truth about who prints what."""
