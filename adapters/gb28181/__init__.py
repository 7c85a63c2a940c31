"""GB/T 28181-2016 and -2022: devices and lower platforms register with us, tell their channels, give their pictures."""
