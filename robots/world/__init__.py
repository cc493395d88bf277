"""Pieces of simulated worlds that the `simulation.py` of several tasks share; trusted code."""
