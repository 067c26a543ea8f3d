"""Tests of the builders: what they make must be what real readers take it for."""
