"""The training image: fine-tunes one model as its configuration says. Knows nothing of Kubernetes."""

__version__ = "0.1.0"
