"""WhatsApp's APIs behind one small protocol; the only package that calls them."""
