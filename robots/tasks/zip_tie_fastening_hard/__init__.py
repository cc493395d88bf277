"""Zip-tie fastening, hard: with worse estimates, and ties that differ more."""
