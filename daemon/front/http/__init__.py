"""The HTTP API, as OctoPrint 1.11.8 has it; one module per resource. Deviations are noted where they occur."""
