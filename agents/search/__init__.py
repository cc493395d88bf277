"""The search agent's mind: operators on recipes, credit for what worked, populations. All pure."""
