"""The agents' tools: one implementation for SDK loops, for MCP and for the search agent."""
