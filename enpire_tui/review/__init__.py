"""Transcripts of a run, live or ended: read, searched, shown and exported. No screen in it."""
