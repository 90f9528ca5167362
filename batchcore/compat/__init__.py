"""Controllers that were written for another library, on any backend; one module for each."""
