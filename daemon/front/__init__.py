"""The front: everything that serves users and programs. It opens no device."""
