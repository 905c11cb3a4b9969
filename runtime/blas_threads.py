"""One thread for calls of the BLAS, for as long as any of ours lasts, as LLVM text.

    lowered = lower_threads(lowers)     sets one thread if it should
    restore_threads(lowered)            restores the user's count when nobody else is in between

Chunks of a split kernel and routines of either dtype call them, at the same time even: so they are
a module of their own, loaded once.
"""

from typing import Final

WITHOUT_THREADS: Final = """
define i1 @lower_threads(i1 %lowers) { ret i1 0 }
define void @restore_threads(i1 %lowered) { ret void }
"""
"""For a BLAS whose count cannot be set, or none."""

WITH_THREADS: Final = """
declare i32 @get_threads()
declare void @set_threads(i32)
@holders = internal global i64 0
@user = internal global i32 0
@lock = internal global i32 0
define internal void @hold(i64 %by) {
  br label %try
try:
  %old = atomicrmw xchg ptr @lock, i32 1 acquire
  %taken = icmp ne i32 %old, 0
  br i1 %taken, label %try, label %enter
enter:
  %before = load i64, ptr @holders
  %holders = add i64 %before, %by
  store i64 %holders, ptr @holders
  %first = icmp eq i64 %before, 0
  %last = icmp eq i64 %holders, 0
  %changes = or i1 %first, %last
  br i1 %changes, label %change, label %leave
change:
  %lowered = load i32, ptr @user
  %present = call i32 @get_threads()
  %user = select i1 %first, i32 %present, i32 %lowered
  %count = select i1 %first, i32 1, i32 %lowered
  store i32 %user, ptr @user
  call void @set_threads(i32 %count)
  br label %leave
leave:
  store atomic i32 0, ptr @lock release, align 4
  ret void
}
define i1 @lower_threads(i1 %lowers) {
  br i1 %lowers, label %more, label %done
more:
  call void @hold(i64 1)
  br label %done
done:
  ret i1 %lowers
}
define void @restore_threads(i1 %lowered) {
  br i1 %lowered, label %less, label %done
less:
  call void @hold(i64 -1)
  br label %done
done:
  ret void
}
"""
