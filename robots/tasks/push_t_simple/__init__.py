"""Push-T made simple: turn the block by about 180 degrees, into an enlarged region."""
