"""Training runs as jobs: submitted once, outliving every client, followed by byte offset."""
