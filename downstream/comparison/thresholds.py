"""The numbers that decide what a comparison may say."""

LEVEL = 0.05
"""How often an interval may miss, or any claim of the comparisons declared together be false."""
FEWEST_TO_DECIDE = 3
"""With fewer replicates every comparison is undecided."""
FEWEST_TO_PERMUTE = 8
"""With fewer replicates there are too few patterns of signs for a permutation test."""
FEWEST_FOR_A_CLAIM = 10
"""With fewer replicates a decided comparison is called preliminary."""
