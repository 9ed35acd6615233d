"""What users write: one pydantic module per kind, conditions, references, the CRD generator."""
