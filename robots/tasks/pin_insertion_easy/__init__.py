"""Pin insertion, easy: chamfered, with a better estimate of the hole."""
