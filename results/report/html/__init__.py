"""A report as one HTML file that asks for nothing: tables that sort, charts that are plain SVG, and what both say.

``page.render`` makes it.
"""
