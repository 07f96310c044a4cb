"""Who may use the API, and for what: keys, sessions, apps that ask for a key, and limits on guessing."""
