; Runs of equal keys of 64 bits: `sort_positions.py` says what they are.

; Sort runs whose packed keys are equal by the bits that they lost.
define internal void @runs(i64 %n, ptr %keys, ptr %packed, ptr %room, i64 %places, i64 %dropped, i64 %least) #0 {
entry:
  br label %start
start:
  %s = phi i64 [ 0, %entry ], [ %e, %next ]
  %outside = icmp uge i64 %s, %n
  br i1 %outside, label %done, label %first
first:
  %sp = getelementptr i64, ptr %packed, i64 %s
  %sx = load i64, ptr %sp
  br label %along
along:
  %i = phi i64 [ %s, %first ], [ %e, %test ]
  %e = add i64 %i, 1
  %in = icmp ult i64 %e, %n
  br i1 %in, label %test, label %end
test:
  %p = getelementptr i64, ptr %packed, i64 %e
  %x = load i64, ptr %p
  %differ = xor i64 %x, %sx
  %high = lshr i64 %differ, %places
  %same = icmp eq i64 %high, 0
  br i1 %same, label %along, label %end
end:
  %length = sub i64 %e, %s
  %long = icmp ugt i64 %length, 1
  br i1 %long, label %again, label %next
again:
  call void @repack(i64 %length, ptr %keys, ptr %sp, i64 %places, i64 %dropped, i64 %least)
  call void @sort_keys(ptr %sp, i64 %length, ptr %room)
  br label %next
next:
  br label %start
done:
  ret void
}

; Positions of n packed keys below the bits that were lost.
define internal void @repack(i64 %n, ptr %keys, ptr %packed, i64 %places, i64 %dropped, i64 %least) #0 {
entry:
  %p.above = shl i64 1, %places
  %p.mask = sub i64 %p.above, 1
  %d.above = shl i64 1, %dropped
  %d.mask = sub i64 %d.above, 1
  br label %each
each:
  %i = phi i64 [ 0, %entry ], [ %i.next, %each ]
  %place = getelementptr i64, ptr %packed, i64 %i
  %x = load i64, ptr %place
  %position = and i64 %x, %p.mask
  %from = getelementptr i64, ptr %keys, i64 %position
  %key = load i64, ptr %from
  %above = sub i64 %key, %least
  %low = and i64 %above, %d.mask
  %high = shl i64 %low, %places
  %both = or i64 %high, %position
  store i64 %both, ptr %place
  %i.next = add i64 %i, 1
  %more = icmp ult i64 %i.next, %n
  br i1 %more, label %each, label %done
done:
  ret void
}
