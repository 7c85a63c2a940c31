"""Two gateways that see one source: what this one sees of another's, and what others see of ours (4.7, E14)."""
