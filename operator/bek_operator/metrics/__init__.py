"""Metrics in Prometheus's format; nothing else imports its client library.

What happens is counted where it happens, by objects that are put around the parts that do the work or handed to them;
what is the case is read from its owner when somebody asks. A series of an object ends with the object. No label holds a
phone number, a credential or a URL, and each has few values.
"""
