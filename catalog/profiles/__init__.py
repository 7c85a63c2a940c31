"""Jurisdiction profiles: the law as validated data."""
