"""Support for tests with a printer, in this project and in others: a pytest plugin, and a driver for labgrid."""
