"""Strategies on noise and on a planted edge, and how many of them the overfit rows let through."""
