"""What training hands over: the bundle, its compiled form, and the scorer that reads it."""
