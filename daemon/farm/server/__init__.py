"""The farm's server: the job list, the printers that print from it, and the API for clients."""
