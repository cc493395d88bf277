"""The gateway: a sandbox's only way out. Meters tokens on the wire, keeps keys and budgets."""
