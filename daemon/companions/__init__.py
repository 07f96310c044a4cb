"""Companions: processes beside core and front that no print depends on. They come over the API alone."""
