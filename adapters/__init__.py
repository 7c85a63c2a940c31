"""The protocols: one folder each, sans-IO cores with thin socket shells."""
