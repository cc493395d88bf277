"""Turn a knob by its peg to a drawn angle, and get out of the camera's sight of it."""
