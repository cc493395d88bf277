"""Zip-tie cutting, easy: softer ties, hung more alike, and better estimates."""
