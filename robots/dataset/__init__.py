"""Episodes as a LeRobot dataset, version 3.0: written an episode at a time, read back as arrays."""
