"""Publish a WhatsApp Flows encryption key to every phone number of a business, and keep it signed."""
