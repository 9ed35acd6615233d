"""The demo: brings everything up, fine-tunes a real model, checks each promise and takes everything down.

For demos and tests; not shipped.
"""

__version__ = "0.1.0"
