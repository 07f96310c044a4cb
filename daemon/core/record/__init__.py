"""What outlives the process, on the disk: the record of jobs, and the place of the print."""
