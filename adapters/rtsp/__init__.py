"""RTSP 1.0 (RFC 2326): pull with PLAY and push with RECORD as a client, be pulled from as a server."""
