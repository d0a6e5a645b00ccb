"""Whisper models of the large ones' shapes with random weights: to measure with where no model can be fetched.

They write words that mean nothing, but about as many of them as somebody would have said (`plan.py` says how), so that
every way of decoding has the work to do that it would have with the real model.
"""
