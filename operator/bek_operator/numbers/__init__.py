"""One phone number as values: its target, the facts about it, and the next action; no I/O, no clock."""
