"""Drivers: what the station talks to when it says observe, apply, stop."""
