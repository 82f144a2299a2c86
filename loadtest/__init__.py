"""Measuring the service: figures are compared only within one run, as ratios."""
