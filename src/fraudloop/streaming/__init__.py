"""Kafka in, Kafka out, ledger: every transaction decided once."""
