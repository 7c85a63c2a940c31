"""Tests of the ONVIF adapter."""
