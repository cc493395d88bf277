"""Recipes per task: a baseline, where a run starts, and a reference, which no agent sees."""
