"""Zip-tie fastening, easy: less to be wrong about."""
