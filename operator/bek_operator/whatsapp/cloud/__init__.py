"""The Cloud API, also at providers that speak its protocol."""
