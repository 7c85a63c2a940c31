"""Tests of the relay's modules."""
