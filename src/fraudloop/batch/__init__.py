"""Files in, files out: decisions for more rows than memory holds."""
