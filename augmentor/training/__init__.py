"""Training: the loop, the average, the batches and the checkpoints. It knows no family."""
