"""Push messages, in the format of OctoPrint's socket; `http/push` has the transports."""
