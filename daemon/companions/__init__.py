"""Companions: processes beside core and front on which no print depends.

They use only the API, but a stop button also reaches the core directly.
"""
