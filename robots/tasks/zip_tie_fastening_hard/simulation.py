"""Zip-tie fastening's world with this folder's figures."""

from pathlib import Path

from robots.tasks.zip_tie_fastening import simulation as zip_tie_fastening


class Simulation(zip_tie_fastening.Simulation):
    """One simulated station of zip-tie fastening, hard."""

    FOLDER = Path(__file__).parent
