"""A fuzzer for the compiler: random programs, every executor, minimal finds."""
