"""Faults of peers, of the machine and of ourselves, against the real `muster serve`."""
