"""GPU insertion's world with this folder's figures."""

from pathlib import Path

from robots.tasks.gpu_insertion import simulation as gpu_insertion


class Simulation(gpu_insertion.Simulation):
    """One simulated station of GPU insertion, easy."""

    FOLDER = Path(__file__).parent
