"""Zeta: train, shrink and serve AI models."""

__version__ = "0.9.0"
