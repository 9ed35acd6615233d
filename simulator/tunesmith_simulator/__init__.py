"""The provider, played: the Instant Clusters API as a real HTTP server, for trials and tests."""

__version__ = "0.1.0"
