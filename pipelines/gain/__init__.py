"""The jobs ``gain`` and ``demo``: arms, what each of them is, what ``auto`` does, verdict,
report.
"""
