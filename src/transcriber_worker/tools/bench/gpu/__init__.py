"""`bench-gpu`: what a GPU does with batches, and what the whole worker does with files, kept apart."""
