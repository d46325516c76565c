"""The pages of ``joulemark serve``: templates, a style and a script, and what is put into them."""
