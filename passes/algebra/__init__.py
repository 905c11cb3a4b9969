"""The algebra of Jacobians: contractions as index expressions, and their elimination.

`expression` reads a contraction as a sum of products, `eliminate` turns one into ordinary ops by
way of `products`, `support` follows where a cotangent is structurally non-zero. The passes
`autodiff` and `jacobian_free` only feed it.
"""
