"""Tests of the fakes that are programs of their own."""
