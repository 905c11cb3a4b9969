; Whether arrays lie apart in memory. This text goes behind `callpath.ll`, which defines the records.

; Bring the order of the arrays in memory up to date, by insertion: it seldom changes.
define internal void @sort(ptr %entry) {
begin:
  %count.p = getelementptr %Entry, ptr %entry, i32 0, i32 8
  %count = load i64, ptr %count.p
  %starts.p = getelementptr %Entry, ptr %entry, i32 0, i32 9
  %starts = load ptr, ptr %starts.p
  %order.p = getelementptr %Entry, ptr %entry, i32 0, i32 12
  %order = load ptr, ptr %order.p
  br label %each

each:
  %i = phi i64 [ 1, %begin ], [ %i.next, %insert ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %take, label %done

take:
  %taken.p = getelementptr i64, ptr %order, i64 %i
  %taken = load i64, ptr %taken.p
  %taken.start.p = getelementptr i64, ptr %starts, i64 %taken
  %taken.start = load i64, ptr %taken.start.p
  br label %place

place:
  %j = phi i64 [ %i, %take ], [ %before, %move ]
  %before = sub i64 %j, 1
  %place.p = getelementptr i64, ptr %order, i64 %j
  %first = icmp eq i64 %j, 0
  br i1 %first, label %insert, label %compare

compare:
  %lower.p = getelementptr i64, ptr %order, i64 %before
  %lower = load i64, ptr %lower.p
  %lower.start.p = getelementptr i64, ptr %starts, i64 %lower
  %lower.start = load i64, ptr %lower.start.p
  %is.lower = icmp ule i64 %lower.start, %taken.start
  br i1 %is.lower, label %insert, label %move

move:
  store i64 %lower, ptr %place.p
  br label %place

insert:
  store i64 %taken, ptr %place.p
  %i.next = add i64 %i, 1
  br label %each

done:
  ret void
}

; Whether an updated array shares memory with another. In the order of their starts, an array must
; begin behind the end of all updated ones before it, an updated one behind the end of all.
define internal i64 @overlap(ptr %entry) {
begin:
  %count.p = getelementptr %Entry, ptr %entry, i32 0, i32 8
  %count = load i64, ptr %count.p
  %starts.p = getelementptr %Entry, ptr %entry, i32 0, i32 9
  %starts = load ptr, ptr %starts.p
  %ends.p = getelementptr %Entry, ptr %entry, i32 0, i32 10
  %ends = load ptr, ptr %ends.p
  %updated.p = getelementptr %Entry, ptr %entry, i32 0, i32 11
  %updated = load ptr, ptr %updated.p
  %order.p = getelementptr %Entry, ptr %entry, i32 0, i32 12
  %order = load ptr, ptr %order.p
  br label %each

each:
  %i = phi i64 [ 0, %begin ], [ %i.next, %apart ]
  %all = phi i64 [ 0, %begin ], [ %all.next, %apart ]
  %writes = phi i64 [ 0, %begin ], [ %writes.next, %apart ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %compare, label %done

compare:
  %index.p = getelementptr i64, ptr %order, i64 %i
  %index = load i64, ptr %index.p
  %start.p = getelementptr i64, ptr %starts, i64 %index
  %start = load i64, ptr %start.p
  %end.p = getelementptr i64, ptr %ends, i64 %index
  %end = load i64, ptr %end.p
  %is.updated.p = getelementptr i64, ptr %updated, i64 %index
  %is.updated.word = load i64, ptr %is.updated.p
  %is.updated = icmp ne i64 %is.updated.word, 0
  %limit = select i1 %is.updated, i64 %all, i64 %writes
  %is.apart = icmp uge i64 %start, %limit
  br i1 %is.apart, label %apart, label %shared

apart:
  %further = icmp ugt i64 %end, %all
  %all.next = select i1 %further, i64 %end, i64 %all
  %writes.further = icmp ugt i64 %end, %writes
  %writes.grow = and i1 %is.updated, %writes.further
  %writes.next = select i1 %writes.grow, i64 %end, i64 %writes
  %i.next = add i64 %i, 1
  br label %each

shared:
  ret i64 -10

done:
  ret i64 0
}
