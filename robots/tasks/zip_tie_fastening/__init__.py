"""Zip-tie fastening: the strap's tip goes through the window of its own head and is pulled tight."""
