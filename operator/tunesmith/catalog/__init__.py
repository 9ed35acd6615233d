"""The models' limits table: dated data with provenance, and its loader."""
