"""Moving in: what another printer host keeps is read (`octoprint`), and given to the daemon (`taking_over`)."""
