"""Data for training and use: splits, class balance, synthetic sets on disk, and the plugs into
datasets and loaders.
"""
