"""The relay: carries streams from sources to sinks in worker processes."""
