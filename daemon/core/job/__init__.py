"""The job: its states, the machine over them, the effect of each state, and the controller that takes requests."""
