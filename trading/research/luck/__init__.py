"""Statistics that say when a result is luck; each takes plain arrays and gives a figure, never a decision."""
