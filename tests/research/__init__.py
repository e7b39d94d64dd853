"""Tests of the statistics: closed forms, hand-worked figures and references that share no code with them."""
