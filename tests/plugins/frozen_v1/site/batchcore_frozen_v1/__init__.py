"""The batchcore backend `frozen-v1`."""
