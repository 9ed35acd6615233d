"""Tunesmith: a Kubernetes operator that buys GPU clusters, fine-tunes models on them, and gives the money back."""

__version__ = "0.1.0"
