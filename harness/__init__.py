"""The run: from a campaign file to records in the store."""
