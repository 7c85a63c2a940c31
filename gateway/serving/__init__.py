"""Muster as RTSP server: the central platform and operators' players pull from us."""
