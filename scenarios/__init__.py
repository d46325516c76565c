"""What is measured (workloads) and how it is loaded (load), with the shipped campaigns."""
