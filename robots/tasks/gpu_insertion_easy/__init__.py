"""GPU insertion, easy: a board that moves less, and better estimates of slot and card."""
