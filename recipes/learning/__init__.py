"""What recipes that learn share: networks, buffers, data, and the job they run in."""
