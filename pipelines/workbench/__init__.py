"""The bench on which arms are trained: images, synthetic images, labels for the pool, classifiers.

The jobs that compare arms stand on it; each of its parts is made when first needed.
"""
