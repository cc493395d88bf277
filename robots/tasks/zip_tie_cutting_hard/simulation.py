"""Zip-tie cutting's world with this folder's figures."""

from pathlib import Path

from robots.tasks.zip_tie_cutting import simulation as zip_tie_cutting


class Simulation(zip_tie_cutting.Simulation):
    """One simulated station of zip-tie cutting, hard."""

    FOLDER = Path(__file__).parent
