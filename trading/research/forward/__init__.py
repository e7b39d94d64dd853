"""Walk-forward: what a run outside the sample keeps, and how much of the promise was kept."""
