"""The manager: two work queues, the reconcilers of objects and of numbers, and the store between them."""
