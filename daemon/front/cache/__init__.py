"""What the front keeps to be faster, and may lose."""
