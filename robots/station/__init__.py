"""The station daemon: one robot, its episodes, its safety and its ledger."""
