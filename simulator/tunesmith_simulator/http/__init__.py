"""The HTTP face of the simulator: one module a dialect, and the admin routes. Thin: rules are in ``desk``."""
