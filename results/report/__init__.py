"""From records to what people read: terminal, Markdown, JSON."""
