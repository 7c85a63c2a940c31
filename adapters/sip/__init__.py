"""SIP (RFC 3261) as GB/T 28181 uses it: messages, transactions and dialogs without I/O, and the endpoint with it."""
