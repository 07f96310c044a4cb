"""Access to the API: keys and their scopes, sessions, requests for keys, and limits on guessing."""
