"""`bench-gpu`: what a GPU does with batches, and what the whole worker does with files, kept apart."""

PARTS = ("cells", "files", "correctness")
"""Of a run, as a user names them."""
