"""Search: spaces of parameters, what to try next, and what a trial is worth."""
