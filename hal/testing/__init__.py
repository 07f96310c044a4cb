"""What tests with a printer need, ours and other people's: a pytest plugin, and a driver for labgrid."""
