"""Data for fine-tuning: from files, the hub or Python's own documentation to padded rows of token ids.

`read` → `columns` → `screening` → `templates` and `tokens` → `tokenization` → `rows`, in the order of `order`.
"""
