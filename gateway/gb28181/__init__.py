"""GB/T 28181 in the gateway: who may register, which sources come over which device, what becomes of their status."""
