"""Live pictures in a browser: WebRTC (WHEP) and single pictures, from a process of their own."""
