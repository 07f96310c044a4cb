"""Notify: tells people what happens to their prints, and Spoolman what they use; the one process with the Internet."""
