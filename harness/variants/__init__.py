"""Compression recipes, one step a file."""
