"""The history of finished prints."""
