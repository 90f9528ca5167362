"""The `azure` backend of batchcore: Azure Batch. Not built yet; it says so when it is used."""
