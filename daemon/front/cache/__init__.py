"""The front's database: data that can be recomputed; the queue and the notes on prints, which cannot."""
