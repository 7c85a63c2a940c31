"""The domain as pure values: standard library only, no I/O, no clock."""
