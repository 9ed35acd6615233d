"""Pure decisions: one module per kind with decide(), and the facts they speak of. No I/O, clock or randomness."""
