"""The status of an object and the events worth posting, as pure functions."""
