"""Rewrite rules: what they are (`patterns`, `rules`, `views`) and the families of them.

The passes `stable`, `simplify`, `fold`, `absorb_transposes` and `decompose` are lists of rules.
"""
