"""Textual screens: they place lists and hand them rows; what a row says is decided in `views`."""
