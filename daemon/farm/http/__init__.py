"""The farm over HTTP: for its page, the command line and programs."""
