"""The agents' floor (E): loop, backends, tools, workspaces, gateway, ideas, budgets."""
