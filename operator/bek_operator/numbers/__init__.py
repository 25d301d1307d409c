"""One phone number as values: its target, what is known of it, and what to do next; no I/O, no clock."""
