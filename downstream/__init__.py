"""Classifiers and the gain they show: sees datasets and tensors, never a generator."""
