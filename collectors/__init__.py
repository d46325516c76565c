"""Instruments: each looks at one thing during one window."""
