"""HTTP: every dialect of a request in, one answer out, at the speed of the wire."""
