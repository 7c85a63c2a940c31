"""ONVIF in the gateway: who announces itself, who is asked what, and what that means for a source."""
