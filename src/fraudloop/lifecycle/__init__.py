"""Versions, promotion and rollback, retraining."""
