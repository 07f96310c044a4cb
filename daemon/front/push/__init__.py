"""Push: what clients are told unasked, in the words of OctoPrint's socket; `http/push` has the ways there."""
