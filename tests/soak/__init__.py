"""Faults by the hundred: kills at random moments and files damaged at random places."""
