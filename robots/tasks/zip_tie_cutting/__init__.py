"""Zip-tie cutting: scissors are taken off the table and cut a tie's tail at the named joint."""
