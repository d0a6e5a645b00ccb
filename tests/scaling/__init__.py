"""How many workers a cluster would run: KEDA's and the HPA's rules, and real answers to apply them to."""
