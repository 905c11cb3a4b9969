"""Functions for users, written in the traced language: plain NumPy, traced or run eagerly."""
