"""Job, printer and files as clients see them, over HTTP and push alike; independent of both."""
