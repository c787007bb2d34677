"""The database of decisions, verdicts, users, drift reports, jobs and audit rows."""
