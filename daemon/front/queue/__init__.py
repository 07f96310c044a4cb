"""The queue: files that wait to be printed, one after the other, each onto a bed that somebody has seen to be clear."""
