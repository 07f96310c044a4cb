"""Importing from another printer host: `octoprint` reads its files, `transfer` sends them to the daemon."""
