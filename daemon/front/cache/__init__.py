"""The front's database: data that can be recomputed, and the queue, which cannot."""
