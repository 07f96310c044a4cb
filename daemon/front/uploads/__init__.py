"""The folder of uploads."""
