"""Solvers. They know tensors and numbers only."""
