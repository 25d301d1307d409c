"""Simulated WhatsApp APIs that refuse what the real ones refuse, and what they are made of."""
