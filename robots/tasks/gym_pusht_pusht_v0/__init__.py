"""gym_pusht/PushT-v0: notes on a registered environment."""
