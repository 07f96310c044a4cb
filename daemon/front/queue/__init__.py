"""The queue: files that are printed one after the other, each once a user has confirmed that the bed is clear."""
