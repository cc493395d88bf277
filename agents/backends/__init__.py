"""What thinks: one small interface, found by entry point."""
