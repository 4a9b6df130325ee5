"""What both halves need: labelled images and sources, devices, randomness, atomic files.

``downstream`` may import this package and nothing else of ``augmentor``.
"""
