"""Unit tests of RTSP."""
