"""The only contract between processes: journals, commands, telemetry, keys, keeper."""
