"""What every job with parts stands on: the plan, the store of finished parts, the engine, and where
a result comes from.
"""
