"""Unit tests of the media wire layer."""
