"""Arms: the ways to train a classifier that experiments compare, in one table.

``table.ARMS`` says what each is; ``recipe.Recipe`` how it is trained; ``policy.MixPolicy`` is an
arm with synthetic images mixed in; ``training.train_arm`` trains one.
"""
