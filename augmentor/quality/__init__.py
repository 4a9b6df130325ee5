"""Quality: how true, how varied and how new synthetic images are; pure functions of features and
logits.
"""
