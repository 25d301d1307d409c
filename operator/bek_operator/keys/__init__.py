"""Reads the public key out of a Secret's key material; the only package that handles private keys."""
