"""ONVIF: WS-Discovery, and the client that interrogates and turns devices."""
