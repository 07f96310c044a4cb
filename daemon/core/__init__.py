"""The core: one process without a network, which owns the printer and the truth about the job."""
