"""Virtual cameras and a virtual central platform, for rehearsal and load: `muster demo`, benchmarks, tests.

They share wire formats with the product (messages, XML reading), and no state machine: what is to be judged does not
judge itself. Independent peers do that.
"""
