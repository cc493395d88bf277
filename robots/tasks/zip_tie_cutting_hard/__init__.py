"""Zip-tie cutting, hard: tougher ties, hung askew, and worse estimates."""
