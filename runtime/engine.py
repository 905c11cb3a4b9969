"""Compile generated source: kernels by Numba, the driver as straight-line LLVM text.

The contract with code generation (`runtime/kernel.py` describes the source):

    module = compile_source(source, path, specs, driver="step")
        source   the whole text; `path` is the file it is written to (None: one in the private
                 source folder, named by content); `specs` one KernelSpec per kernel
    module.address      address of the C function  int64_t step(void **table)
    module.call(table)  calls it, given the address of a pointer table; the status, 0 = ok
    module.path, module.source, module.llvm(), module.asm()
    module.timings      {"kernels": seconds, "driver": seconds}
    module.reused       number of kernels that had been compiled before in this process

    run_plain(source, table, driver="step")    the same text as plain Python; `table` is a list of
                                               flat NumPy arrays; the status
"""
