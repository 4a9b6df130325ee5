"""The losses: plain functions of tensors, unreduced over the batch unless they compare batches."""
