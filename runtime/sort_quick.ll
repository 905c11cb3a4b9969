; Quicksort of signed integers, KEY, of SIZE bytes: what `sort_quick.py` makes of this text. `parted`
; and the networks are written by it.

declare i64 @llvm.ctlz.i64(i64, i1 immarg)
declare i64 @llvm.umax.i64(i64, i64)
declare KEY @llvm.smin.KEY(KEY, KEY)
declare KEY @llvm.smax.KEY(KEY, KEY)

; n keys in order. `room` is as large as they are.
define internal void @sort_keys(ptr %keys, i64 %n, ptr %room) #0 {
  %few = icmp ule i64 %n, CAPACITY
  br i1 %few, label %small, label %test
small:
  call void @small(ptr %keys, i64 %n)
  ret void
test:
  %ordered = call i1 @ordered(ptr %keys, i64 %n)
  br i1 %ordered, label %done, label %sort
sort:
  %tries = call i64 @tries(i64 %n)
  call void @quick(ptr %keys, i64 %n, ptr %room, KEY LEAST, i64 %tries)
  br label %done
done:
  ret void
}

; keys[k] is what it would be in order, no key before it is greater, and none behind it less.
define internal void @select_key(ptr %keys, i64 %count, ptr %room, i64 %position) #0 {
entry:
  %short = icmp ule i64 %count, CAPACITY
  br i1 %short, label %begin, label %test
test:
  %ordered = call i1 @ordered(ptr %keys, i64 %count)
  br i1 %ordered, label %done, label %begin
begin:
  %most = call i64 @tries(i64 %count)
  br label %again
again:
  %a = phi ptr [ %keys, %begin ], [ %a, %first ], [ %behind, %second ]
  %n = phi i64 [ %count, %begin ], [ %m, %first ], [ %rest, %second ]
  %k = phi i64 [ %position, %begin ], [ %k, %first ], [ %further, %second ]
  %low = phi KEY [ LEAST, %begin ], [ %low, %first ], [ %bound, %second ]
  %tries = phi i64 [ %most, %begin ], [ %fewer, %first ], [ %fewer, %second ]
  %few = icmp ule i64 %n, CAPACITY
  br i1 %few, label %small, label %large
small:
  call void @small(ptr %a, i64 %n)
  ret void
large:
  %found = call { i64, KEY, i1 } @divided(ptr %a, i64 %n, ptr %room, i64 %k, KEY %low, i64 %tries)
  %m = extractvalue { i64, KEY, i1 } %found, 0
  %bound = extractvalue { i64, KEY, i1 } %found, 1
  %flat = extractvalue { i64, KEY, i1 } %found, 2
  %fewer = call i64 @one_less(i64 %tries)
  %before = icmp ult i64 %k, %m
  br i1 %before, label %within, label %second
within:
  br i1 %flat, label %done, label %first
first:
  br label %again
second:
  %behind = getelementptr KEY, ptr %a, i64 %m
  %rest = sub i64 %n, %m
  %further = sub i64 %k, %m
  br label %again
done:
  ret void
}

; How often a part may be divided by a sample: a multiple of the logarithm.
define internal i64 @tries(i64 %n) #0 {
  %some = or i64 %n, 1
  %zeros = call i64 @llvm.ctlz.i64(i64 %some, i1 true)
  %log = sub i64 66, %zeros
  %twice = shl i64 %log, 1
  ret i64 %twice
}

define internal i64 @one_less(i64 %n) alwaysinline #0 {
  %some = call i64 @llvm.umax.i64(i64 %n, i64 1)
  %less = sub i64 %some, 1
  ret i64 %less
}

; No key is below `least`. The shorter part goes first, so that calls nest no deeper than log2 n.
define internal void @quick(ptr %keys, i64 %count, ptr %room, KEY %least, i64 %most) #0 {
entry:
  br label %again
again:
  %a = phi ptr [ %keys, %entry ], [ %behind, %over ], [ %behind, %first ], [ %a, %second ]
  %n = phi i64 [ %count, %entry ], [ %rest, %over ], [ %rest, %first ], [ %m, %second ]
  %low = phi KEY [ %least, %entry ], [ %bound, %over ], [ %bound, %first ], [ %low, %second ]
  %tries = phi i64 [ %most, %entry ], [ %fewer, %over ], [ %fewer, %first ], [ %fewer, %second ]
  %few = icmp ule i64 %n, CAPACITY
  br i1 %few, label %small, label %large
small:
  call void @small(ptr %a, i64 %n)
  ret void
large:
  %half = lshr i64 %n, 1
  %found = call { i64, KEY, i1 } @divided(ptr %a, i64 %n, ptr %room, i64 %half, KEY %low, i64 %tries)
  %m = extractvalue { i64, KEY, i1 } %found, 0
  %bound = extractvalue { i64, KEY, i1 } %found, 1
  %flat = extractvalue { i64, KEY, i1 } %found, 2
  %fewer = call i64 @one_less(i64 %tries)
  %behind = getelementptr KEY, ptr %a, i64 %m
  %rest = sub i64 %n, %m
  br i1 %flat, label %over, label %both
over:
  br label %again
both:
  %shorter = icmp ult i64 %m, %rest
  br i1 %shorter, label %first, label %second
first:
  call void @quick(ptr %a, i64 %m, ptr %room, KEY %low, i64 %fewer)
  br label %again
second:
  call void @quick(ptr %behind, i64 %rest, ptr %room, KEY %bound, i64 %fewer)
  br label %again
}

; Divide n keys, none below `low`: how many come first, which are below a bound, the bound, and
; whether those are all equal. The bound is near key k of a sample; when `tries` are used up, it is
; in the middle between the least and the greatest key, so that their range is halved.
define internal { i64, KEY, i1 } @divided(ptr %a, i64 %n, ptr %room, i64 %k, KEY %least, i64 %tries) #0 {
entry:
  %hopeless = icmp eq i64 %tries, 0
  br i1 %hopeless, label %halve, label %again
again:
  %low = phi KEY [ %least, %entry ], [ %pivot, %divide ]
  %pivot = call KEY @sampled(ptr %a, i64 %n, i64 %k)
  %same = icmp eq KEY %pivot, %low
  %top = icmp eq KEY %pivot, LARGEST
  %all = and i1 %same, %top
  br i1 %all, label %equal, label %divide
divide:
  %one = zext i1 %same to KEY
  %bound = add KEY %pivot, %one
  %m = call i64 @parted(ptr %a, i64 %n, ptr %room, KEY %bound)
  %none = icmp eq i64 %m, 0
  br i1 %none, label %again, label %done
done:
  %r0 = insertvalue { i64, KEY, i1 } poison, i64 %m, 0
  %r1 = insertvalue { i64, KEY, i1 } %r0, KEY %bound, 1
  %r2 = insertvalue { i64, KEY, i1 } %r1, i1 %same, 2
  ret { i64, KEY, i1 } %r2
halve:
  %i = phi i64 [ 0, %entry ], [ %i.next, %halve ]
  %min = phi KEY [ LARGEST, %entry ], [ %min.next, %halve ]
  %max = phi KEY [ LEAST, %entry ], [ %max.next, %halve ]
  %place = getelementptr KEY, ptr %a, i64 %i
  %x = load KEY, ptr %place
  %min.next = call KEY @llvm.smin.KEY(KEY %min, KEY %x)
  %max.next = call KEY @llvm.smax.KEY(KEY %max, KEY %x)
  %i.next = add i64 %i, 1
  %more = icmp ult i64 %i.next, %n
  br i1 %more, label %halve, label %range
range:
  %common = and KEY %min.next, %max.next
  %differ = xor KEY %min.next, %max.next
  %part = ashr KEY %differ, 1
  %middle = add KEY %common, %part
  %above = add KEY %middle, 1
  %single = icmp eq KEY %min.next, %max.next
  br i1 %single, label %equal, label %split
split:
  %count = call i64 @parted(ptr %a, i64 %n, ptr %room, KEY %above)
  %s0 = insertvalue { i64, KEY, i1 } poison, i64 %count, 0
  %s1 = insertvalue { i64, KEY, i1 } %s0, KEY %above, 1
  %s2 = insertvalue { i64, KEY, i1 } %s1, i1 false, 2
  ret { i64, KEY, i1 } %s2
equal:
  %e0 = insertvalue { i64, KEY, i1 } poison, i64 %n, 0
  %e1 = insertvalue { i64, KEY, i1 } %e0, KEY LARGEST, 1
  %e2 = insertvalue { i64, KEY, i1 } %e1, i1 true, 2
  ret { i64, KEY, i1 } %e2
}

; Of keys from all over the array, in order, that which stands about where key k will. Few keys are
; divided by a small sample.
define internal KEY @sampled(ptr %a, i64 %n, i64 %k) #0 {
entry:
  %buffer = alloca [MANY x KEY], align 64
  %short = icmp ult i64 %n, SHORT
  %count = select i1 %short, i64 FEW, i64 MANY
  %step = udiv i64 %n, %count
  br label %each
each:
  %i = phi i64 [ 0, %entry ], [ %i.next, %each ]
  %from = mul i64 %i, %step
  %place = getelementptr KEY, ptr %a, i64 %from
  %x = load KEY, ptr %place
  %to = getelementptr KEY, ptr %buffer, i64 %i
  store KEY %x, ptr %to
  %i.next = add i64 %i, 1
  %more = icmp ult i64 %i.next, %count
  br i1 %more, label %each, label %order
order:
  call void @small(ptr %buffer, i64 %count)
  %scaled = mul i64 %k, %count
  %q = udiv i64 %scaled, %n
  %there = getelementptr KEY, ptr %buffer, i64 %q
  %pivot = load KEY, ptr %there
  ret KEY %pivot
}
