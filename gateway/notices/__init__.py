"""Tells people outside what happens: webhooks and mail, once for each thing, whatever restarts in between."""
