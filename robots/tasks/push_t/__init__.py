"""Push-T: push a T-shaped block into its outline."""
