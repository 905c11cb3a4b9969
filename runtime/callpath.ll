; The native entry of a compiled step. `runtime/callpath.py` describes the words of %descriptor and
; the meaning of the result; a null step stops after the checks.

define i64 @tapeless_enter(ptr %tuple, ptr %descriptor) {
entry:
  %count = load i64, ptr %descriptor
  %type.p = getelementptr i64, ptr %descriptor, i64 1
  %type = load i64, ptr %type.p
  %first.p = getelementptr i64, ptr %descriptor, i64 2
  %first = load i64, ptr %first.p
  %table.p = getelementptr i64, ptr %descriptor, i64 3
  %table = load ptr, ptr %table.p
  %step.p = getelementptr i64, ptr %descriptor, i64 4
  %step = load ptr, ptr %step.p
  %items = getelementptr i64, ptr %descriptor, i64 5
  %objects = getelementptr i8, ptr %tuple, i64 %first
  %size.p = getelementptr i8, ptr %tuple, i64 16
  %size = load i64, ptr %size.p
  %complete = icmp eq i64 %size, %count
  br i1 %complete, label %each, label %fail

each:                                             ; one array after the other
  %i = phi i64 [ 0, %entry ], [ %i.next, %accept ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %check.type, label %overlap

check.type:
  %offset = mul i64 %i, 7
  %item = getelementptr i64, ptr %items, i64 %offset
  %object.p = getelementptr ptr, ptr %objects, i64 %i
  %object = load ptr, ptr %object.p
  %ob_type.p = getelementptr i8, ptr %object, i64 8
  %ob_type = load i64, ptr %ob_type.p
  %is.array = icmp eq i64 %ob_type, %type
  br i1 %is.array, label %check.dtype, label %fail

check.dtype:
  %dtype.p = getelementptr i64, ptr %item, i64 1
  %dtype = load i64, ptr %dtype.p
  %descr.p = getelementptr i8, ptr %object, i64 56
  %descr = load i64, ptr %descr.p
  %is.dtype = icmp eq i64 %descr, %dtype
  br i1 %is.dtype, label %check.rank, label %fail

check.rank:
  %rank.p = getelementptr i64, ptr %item, i64 2
  %rank = load i64, ptr %rank.p
  %nd.p = getelementptr i8, ptr %object, i64 24
  %nd.32 = load i32, ptr %nd.p
  %nd = sext i32 %nd.32 to i64
  %is.rank = icmp eq i64 %nd, %rank
  br i1 %is.rank, label %check.shape, label %fail

check.shape:
  %shape.word.p = getelementptr i64, ptr %item, i64 6
  %shape.word = load i64, ptr %shape.word.p
  %shape = getelementptr i64, ptr %descriptor, i64 %shape.word
  %dimensions.p = getelementptr i8, ptr %object, i64 32
  %dimensions = load ptr, ptr %dimensions.p
  br label %axis

axis:
  %a = phi i64 [ 0, %check.shape ], [ %a.next, %axis.equal ]
  %more.axes = icmp slt i64 %a, %rank
  br i1 %more.axes, label %compare.axis, label %check.layout

compare.axis:
  %extent.p = getelementptr i64, ptr %dimensions, i64 %a
  %extent = load i64, ptr %extent.p
  %wanted.p = getelementptr i64, ptr %shape, i64 %a
  %wanted = load i64, ptr %wanted.p
  %is.extent = icmp eq i64 %extent, %wanted
  br i1 %is.extent, label %axis.equal, label %fail

axis.equal:
  %a.next = add i64 %a, 1
  br label %axis

check.layout:
  %flags.p = getelementptr i8, ptr %object, i64 64
  %flags.32 = load i32, ptr %flags.p
  %flags = zext i32 %flags.32 to i64
  %layout = and i64 %flags, 257                   ; C_CONTIGUOUS, ALIGNED
  %is.layout = icmp eq i64 %layout, 257
  br i1 %is.layout, label %check.writeable, label %fail

check.writeable:
  %needed.p = getelementptr i64, ptr %item, i64 3
  %needed = load i64, ptr %needed.p
  %present = and i64 %flags, %needed
  %is.writeable = icmp eq i64 %present, %needed
  br i1 %is.writeable, label %accept, label %fail

accept:
  %slot = load i64, ptr %item
  %data.p = getelementptr i8, ptr %object, i64 16
  %data = load ptr, ptr %data.p
  %slot.p = getelementptr ptr, ptr %table, i64 %slot
  store ptr %data, ptr %slot.p
  %i.next = add i64 %i, 1
  br label %each

overlap:                                          ; every updated array against every other
  %u = phi i64 [ 0, %each ], [ %u.next, %next.updated ]
  %more.updated = icmp slt i64 %u, %count
  br i1 %more.updated, label %is.updated, label %run

is.updated:
  %u.offset = mul i64 %u, 7
  %u.item = getelementptr i64, ptr %items, i64 %u.offset
  %updated.p = getelementptr i64, ptr %u.item, i64 5
  %updated = load i64, ptr %updated.p
  %u.bytes.p = getelementptr i64, ptr %u.item, i64 4
  %u.bytes = load i64, ptr %u.bytes.p
  %u.slot = load i64, ptr %u.item
  %u.slot.p = getelementptr i64, ptr %table, i64 %u.slot
  %u.start = load i64, ptr %u.slot.p
  %u.end = add i64 %u.start, %u.bytes
  %not.updated = icmp eq i64 %updated, 0
  %u.empty = icmp eq i64 %u.bytes, 0
  %skip = or i1 %not.updated, %u.empty
  br i1 %skip, label %next.updated, label %other

other:
  %o = phi i64 [ 0, %is.updated ], [ %o.next, %next.other ]
  %more.others = icmp slt i64 %o, %count
  br i1 %more.others, label %compare, label %next.updated

compare:
  %o.offset = mul i64 %o, 7
  %o.item = getelementptr i64, ptr %items, i64 %o.offset
  %o.bytes.p = getelementptr i64, ptr %o.item, i64 4
  %o.bytes = load i64, ptr %o.bytes.p
  %o.slot = load i64, ptr %o.item
  %o.slot.p = getelementptr i64, ptr %table, i64 %o.slot
  %o.start = load i64, ptr %o.slot.p
  %o.end = add i64 %o.start, %o.bytes
  %same = icmp eq i64 %o, %u
  %o.empty = icmp eq i64 %o.bytes, 0
  %before = icmp ule i64 %u.end, %o.start
  %after = icmp ule i64 %o.end, %u.start
  %apart.1 = or i1 %before, %after
  %apart.2 = or i1 %same, %o.empty
  %apart = or i1 %apart.1, %apart.2
  br i1 %apart, label %next.other, label %fail

next.other:
  %o.next = add i64 %o, 1
  br label %other

next.updated:
  %u.next = add i64 %u, 1
  br label %overlap

run:
  %no.step = icmp eq ptr %step, null
  br i1 %no.step, label %checked, label %call.step

checked:
  ret i64 0

call.step:
  %status = call i64 %step(ptr %table)
  ret i64 %status

fail:
  %reason = phi i64 [ 1, %entry ], [ 2, %check.type ], [ 3, %check.dtype ], [ 4, %check.rank ],
                    [ 5, %compare.axis ], [ 6, %check.layout ], [ 7, %check.writeable ],
                    [ 8, %compare ]
  %at = phi i64 [ 0, %entry ], [ %i, %check.type ], [ %i, %check.dtype ], [ %i, %check.rank ],
                [ %i, %compare.axis ], [ %i, %check.layout ], [ %i, %check.writeable ],
                [ %u, %compare ]
  %with = phi i64 [ 0, %entry ], [ 0, %check.type ], [ 0, %check.dtype ], [ 0, %check.rank ],
                  [ 0, %compare.axis ], [ 0, %check.layout ], [ 0, %check.writeable ],
                  [ %o, %compare ]
  %at.16 = mul i64 %at, 16
  %with.24 = mul i64 %with, 16777216
  %sum = add i64 %reason, %at.16
  %code = add i64 %sum, %with.24
  %negative = sub i64 0, %code
  ret i64 %negative
}
