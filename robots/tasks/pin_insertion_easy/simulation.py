"""Pin insertion's world with this folder's figures."""

from pathlib import Path

from robots.tasks.pin_insertion import simulation as pin_insertion


class Simulation(pin_insertion.Simulation):
    """One simulated station of pin insertion, easy."""

    FOLDER = Path(__file__).parent
