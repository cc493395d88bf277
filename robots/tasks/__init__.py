"""Built-in tasks, a folder each."""
