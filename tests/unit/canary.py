"""A key that no log line, traceback, status or metric may ever show. Tests use it wherever an API key is needed."""

KEY = "tgp_v1_canary-0123456789-abcdefghij"
