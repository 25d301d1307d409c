"""What tests, benchmark and demo share: a real API server, simulators of the WhatsApp APIs, fakes, keys."""
