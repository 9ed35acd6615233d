"""The training loops by method: supervised examples, and preferences with or without a reference."""
