"""Generators: trained in memory or as a run, rendered as sets, judged."""
