"""The lists that are served: which method fills them, exposure of new items, reasons."""
