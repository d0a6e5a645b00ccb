"""An emulator of Oracle Cloud Infrastructure, as far as this project uses it: Object Storage and Queue over real HTTP.

A service is a class with `handle` and `operation` (`wire.Service`), made in `__main__` from the virtual clock, the
faults and, so that its state outlives a kill, the journal: `QueueService(clock, faults, journal)`.
"""
