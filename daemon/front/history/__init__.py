"""The history of prints, as people look through it."""
