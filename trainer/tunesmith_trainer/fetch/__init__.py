"""The fetch stage: weights and data come to the storage, by one writer, verified, where other jobs find them."""
