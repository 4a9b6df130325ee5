"""Synthetic images that another generator made: found, brought into a set, and looked through for
copies of test images.
"""
