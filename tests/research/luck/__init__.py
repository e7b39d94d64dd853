"""Tests of what says whether a result is luck."""
