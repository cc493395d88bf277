"""GPU insertion, hard: worse estimates, a heavier card held askew, more friction in the slot."""
