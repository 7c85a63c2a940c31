"""RTSP 1.0 (RFC 2326) client side: pull with PLAY, push with RECORD."""
