"""What systemd is told and hands in."""
