"""The companion `notify`: notifies users about their prints, and reports used filament to Spoolman.

It is the only process that needs the Internet.
"""
