"""Who may be pulled, when it is verified, when it counts as first connected."""
