"""The front: everything that talks to people and programs. It opens no device."""
