"""The job: its states, the machine over them, and the controller that gives each state its effect."""
