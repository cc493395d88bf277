"""State turned into rows and texts: pure functions, without Textual, sockets or clocks."""
