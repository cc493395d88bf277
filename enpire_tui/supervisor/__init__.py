"""The supervisor: run, queue, selection, confirms, grants; decisions pure, effects thin."""
