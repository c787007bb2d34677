"""fraudloop: a reproducible pipeline for card fraud, from a table of transactions to decisions."""

__version__ = "0.1.0"
