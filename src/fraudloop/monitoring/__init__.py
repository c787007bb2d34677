"""Whether today's data and quality are still what the model was trained for."""
