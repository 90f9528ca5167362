"""What a user or a backend's author tests with: a backend in memory, a clock, fake plugins.

Shipped, because a pipeline that is tested offline needs the same parts as this project's own
tests. Nothing else in the core imports it.
"""
