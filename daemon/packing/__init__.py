"""Files that are no text but hold one."""
