"""Tests of Muster."""
