"""A local server that answers as Azure Batch does, for tests and for trying the `azure` backend.

It is written from the public documentation and from recorded exchanges of the service, not
from the service itself: what works here is likely, not certain, to work there.
"""
