"""What a Secret's key material is and how its public half is read; the one package that touches private keys."""
