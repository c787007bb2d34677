"""The craft: candidates, the fit, the operating point, the figures and the plots."""
