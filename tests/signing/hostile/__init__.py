"""Messages that are bad in one way each, to be embedded, nested, or put around a catalog's list."""
