; The checks of a call. This text goes behind `callpath.ll`, which defines the records.
; What is negative is a `Reason` of `runtime/callpath.py`.

; All checks. What passes is in the table. 0, or a `Reason`, negative. %names are those of the
; arguments that come after the %given ones, or null; `run` gives all by position.
define internal i64 @check(ptr %entry, ptr %arguments, i64 %given, ptr %names) {
begin:
  %count.p = getelementptr %Entry, ptr %entry, i32 0, i32 4
  %count = load i64, ptr %count.p
  %forms.p = getelementptr %Entry, ptr %entry, i32 0, i32 5
  %forms = load i64, ptr %forms.p
  %positional = icmp eq ptr %names, null
  br i1 %positional, label %counted, label %by.name

by.name:
  %named = call i64 @PyTuple_Size(ptr %names)
  br label %counted

counted:
  %others = phi i64 [ 0, %begin ], [ %named, %by.name ]
  %all = add i64 %given, %others
  %complete = icmp eq i64 %all, %count
  br i1 %complete, label %each, label %incomplete

incomplete:
  ret i64 -1

each:
  %i = phi i64 [ 0, %counted ], [ %i.next, %accept ]
  %form = phi i64 [ %forms, %counted ], [ %next, %accept ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %take, label %apart

take:
  %by.position = icmp slt i64 %i, %given
  br i1 %by.position, label %visit, label %find

find:
  %found = call i64 @find(ptr %entry, i64 %i, ptr %names, i64 %others)
  %place = add i64 %given, %found
  %missing = icmp slt i64 %found, 0
  br i1 %missing, label %incomplete, label %visit

visit:
  %index = phi i64 [ %i, %take ], [ %place, %find ]
  %argument.p = getelementptr ptr, ptr %arguments, i64 %index
  %argument = load ptr, ptr %argument.p
  %form.p = inttoptr i64 %form to ptr
  %next = call i64 @visit(ptr %argument, ptr %form.p, ptr %entry)
  %failed = icmp slt i64 %next, 0
  br i1 %failed, label %failure, label %accept

accept:
  %i.next = add i64 %i, 1
  br label %each

failure:
  ret i64 %next

apart:
  call void @sort(ptr %entry)
  %overlap = call i64 @overlap(ptr %entry)
  ret i64 %overlap
}

; An object against its form: the address of the form that comes after it, or a negative `Reason`
define internal i64 @visit(ptr %object, ptr %form, ptr %entry) {
  %type.p = getelementptr %Object, ptr %object, i32 0, i32 1
  %type = load ptr, ptr %type.p
  %wanted.p = getelementptr %Form, ptr %form, i32 0, i32 1
  %wanted = load ptr, ptr %wanted.p
  %is.type = icmp eq ptr %type, %wanted
  br i1 %is.type, label %known, label %other.type

other.type:
  ret i64 -2

known:
  %kind = load i64, ptr %form
  switch i64 %kind, label %none [ i64 0, label %array
                                  i64 1, label %value
                                  i64 2, label %integer
                                  i64 3, label %dict
                                  i64 4, label %sequence ]

none:                                             ; no more than a type
  %after.p = getelementptr %Form, ptr %form, i32 1
  %after = ptrtoint ptr %after.p to i64
  ret i64 %after

array:
  %after.array = call i64 @visit_array(ptr %object, ptr %form, ptr %entry)
  ret i64 %after.array

value:
  %after.value = call i64 @visit_value(ptr %object, ptr %form, ptr %entry)
  ret i64 %after.value

integer:
  %after.integer = call i64 @visit_integer(ptr %object, ptr %form, ptr %entry)
  ret i64 %after.integer

dict:
  %after.dict = call i64 @visit_dict(ptr %object, ptr %form, ptr %entry)
  ret i64 %after.dict

sequence:
  %after.sequence = call i64 @visit_sequence(ptr %object, ptr %form, ptr %entry)
  ret i64 %after.sequence
}

define internal i64 @visit_array(ptr %object, ptr %form, ptr %entry) {
  %dtype.p = getelementptr %Array, ptr %object, i32 0, i32 6
  %dtype = load ptr, ptr %dtype.p
  %wanted.dtype.p = getelementptr %ArrayForm, ptr %form, i32 0, i32 2
  %wanted.dtype = load ptr, ptr %wanted.dtype.p
  %is.dtype = icmp eq ptr %dtype, %wanted.dtype
  br i1 %is.dtype, label %check.rank, label %other.dtype

other.dtype:
  ret i64 -3

check.rank:
  %rank.p = getelementptr %ArrayForm, ptr %form, i32 0, i32 6
  %rank = load i64, ptr %rank.p
  %nd.p = getelementptr %Array, ptr %object, i32 0, i32 2
  %nd.32 = load i32, ptr %nd.p
  %nd = sext i32 %nd.32 to i64
  %is.rank = icmp eq i64 %nd, %rank
  br i1 %is.rank, label %check.shape, label %other.rank

other.rank:
  ret i64 -4

check.shape:
  %shape.p = getelementptr %Array, ptr %object, i32 0, i32 3
  %shape = load ptr, ptr %shape.p
  %wanted.shape = getelementptr %ArrayForm, ptr %form, i32 1
  br label %axis

axis:
  %a = phi i64 [ 0, %check.shape ], [ %a.next, %axis.equal ]
  %more.axes = icmp slt i64 %a, %rank
  br i1 %more.axes, label %compare.axis, label %check.layout

compare.axis:
  %extent.p = getelementptr i64, ptr %shape, i64 %a
  %extent = load i64, ptr %extent.p
  %wanted.extent.p = getelementptr i64, ptr %wanted.shape, i64 %a
  %wanted.extent = load i64, ptr %wanted.extent.p
  %is.extent = icmp eq i64 %extent, %wanted.extent
  br i1 %is.extent, label %axis.equal, label %other.shape

axis.equal:
  %a.next = add i64 %a, 1
  br label %axis

other.shape:
  ret i64 -5

check.layout:
  %flags.p = getelementptr %Array, ptr %object, i32 0, i32 7
  %flags.32 = load i32, ptr %flags.p
  %flags = zext i32 %flags.32 to i64
  %layout = and i64 %flags, 257                   ; C_CONTIGUOUS, ALIGNED
  %is.layout = icmp eq i64 %layout, 257
  br i1 %is.layout, label %check.writeable, label %other.layout

other.layout:
  ret i64 -6

check.writeable:
  %needed.p = getelementptr %ArrayForm, ptr %form, i32 0, i32 3
  %needed = load i64, ptr %needed.p
  %present = and i64 %flags, %needed
  %is.writeable = icmp eq i64 %present, %needed
  br i1 %is.writeable, label %place, label %read.only

read.only:
  ret i64 -7

place:
  %data = call ptr @data(ptr %object)
  %slot.p = getelementptr %ArrayForm, ptr %form, i32 0, i32 1
  call void @place(ptr %entry, ptr %slot.p, ptr %data)
  %span.p = getelementptr %ArrayForm, ptr %form, i32 0, i32 5
  %span = load i64, ptr %span.p
  %has.span = icmp sge i64 %span, 0
  br i1 %has.span, label %note.span, label %done

note.span:
  %starts.p = getelementptr %Entry, ptr %entry, i32 0, i32 9
  %starts = load ptr, ptr %starts.p
  %start.p = getelementptr ptr, ptr %starts, i64 %span
  store ptr %data, ptr %start.p
  %ends.p = getelementptr %Entry, ptr %entry, i32 0, i32 10
  %ends = load ptr, ptr %ends.p
  %bytes.p = getelementptr %ArrayForm, ptr %form, i32 0, i32 4
  %bytes = load i64, ptr %bytes.p
  %end = getelementptr i8, ptr %data, i64 %bytes
  %end.p = getelementptr ptr, ptr %ends, i64 %span
  store ptr %end, ptr %end.p
  br label %done

done:
  %after.p = getelementptr i64, ptr %wanted.shape, i64 %rank
  %after = ptrtoint ptr %after.p to i64
  ret i64 %after
}

; A float or a NumPy scalar: its value stands behind the object's header, where the step reads it.
define internal i64 @visit_value(ptr %object, ptr %form, ptr %entry) {
  %value.p = getelementptr %Object, ptr %object, i32 1
  %slot.p = getelementptr %ValueForm, ptr %form, i32 0, i32 1
  call void @place(ptr %entry, ptr %slot.p, ptr %value.p)
  %after.p = getelementptr %ValueForm, ptr %form, i32 1
  %after = ptrtoint ptr %after.p to i64
  ret i64 %after
}

; An int or a bool: its value goes into the cell of the form. One too large is the largest or -1.
define internal i64 @visit_integer(ptr %object, ptr %form, ptr %entry) {
  %overflow.p = alloca i32
  %value = call i64 @PyLong_AsLongLongAndOverflow(ptr %object, ptr %overflow.p)
  %overflow = load i32, ptr %overflow.p
  %least.p = getelementptr %IntegerForm, ptr %form, i32 0, i32 2
  %least = load i64, ptr %least.p
  %greatest.p = getelementptr %IntegerForm, ptr %form, i32 0, i32 3
  %greatest = load i64, ptr %greatest.p
  %fits = icmp eq i32 %overflow, 0
  %not.less = icmp sge i64 %value, %least
  %not.greater = icmp sle i64 %value, %greatest
  %in.range.1 = and i1 %fits, %not.less
  %in.range = and i1 %in.range.1, %not.greater
  br i1 %in.range, label %place, label %out.of.range

out.of.range:
  ret i64 -9

place:
  %cell.p = getelementptr %IntegerForm, ptr %form, i32 0, i32 4
  store i64 %value, ptr %cell.p
  %slot.p = getelementptr %IntegerForm, ptr %form, i32 0, i32 1
  call void @place(ptr %entry, ptr %slot.p, ptr %cell.p)
  %after.p = getelementptr %IntegerForm, ptr %form, i32 1
  %after = ptrtoint ptr %after.p to i64
  ret i64 %after
}

define internal void @place(ptr %entry, ptr %slot.p, ptr %data) {
  %table.p = getelementptr %Entry, ptr %entry, i32 0, i32 2
  %table = load ptr, ptr %table.p
  %slot = load i64, ptr %slot.p
  %place.p = getelementptr ptr, ptr %table, i64 %slot
  store ptr %data, ptr %place.p
  ret void
}

; A dict with these keys in this order. They are `str`, most often the same objects.
define internal i64 @visit_dict(ptr %object, ptr %form, ptr %entry) {
begin:
  %position.p = alloca i64
  %key.p = alloca ptr
  %value.p = alloca ptr
  store i64 0, ptr %position.p
  %count.p = getelementptr %DictForm, ptr %form, i32 0, i32 1
  %count = load i64, ptr %count.p
  %keys = getelementptr %DictForm, ptr %form, i32 1
  %members.p = getelementptr ptr, ptr %keys, i64 %count
  %members = ptrtoint ptr %members.p to i64
  %size = call i64 @PyDict_Size(ptr %object)
  %is.size = icmp eq i64 %size, %count
  br i1 %is.size, label %each, label %other.keys

other.keys:
  ret i64 -8

each:
  %k = phi i64 [ 0, %begin ], [ %k.next, %accept ]
  %member = phi i64 [ %members, %begin ], [ %next, %accept ]
  %more = icmp slt i64 %k, %count
  br i1 %more, label %compare, label %done

compare:
  %found = call i32 @PyDict_Next(ptr %object, ptr %position.p, ptr %key.p, ptr %value.p)
  %key = load ptr, ptr %key.p
  %wanted.p = getelementptr ptr, ptr %keys, i64 %k
  %wanted = load ptr, ptr %wanted.p
  %same = icmp eq ptr %key, %wanted
  br i1 %same, label %visit, label %compare.types

compare.types:
  %type.p = getelementptr %Object, ptr %key, i32 0, i32 1
  %type = load ptr, ptr %type.p
  %str.p = getelementptr %Object, ptr %wanted, i32 0, i32 1
  %str = load ptr, ptr %str.p
  %is.str = icmp eq ptr %type, %str
  br i1 %is.str, label %compare.text, label %other.keys

compare.text:
  %difference = call i32 @PyUnicode_Compare(ptr %key, ptr %wanted)
  %equal = icmp eq i32 %difference, 0
  br i1 %equal, label %visit, label %other.keys

visit:
  %value = load ptr, ptr %value.p
  %member.p = inttoptr i64 %member to ptr
  %next = call i64 @visit(ptr %value, ptr %member.p, ptr %entry)
  %failed = icmp slt i64 %next, 0
  br i1 %failed, label %failure, label %accept

accept:
  %k.next = add i64 %k, 1
  br label %each

failure:
  ret i64 %next

done:
  ret i64 %member
}

; A list or tuple of so many members
define internal i64 @visit_sequence(ptr %object, ptr %form, ptr %entry) {
begin:
  %count.p = getelementptr %SequenceForm, ptr %form, i32 0, i32 1
  %count = load i64, ptr %count.p
  %size.p = getelementptr %SequenceForm, ptr %form, i32 0, i32 2
  %size.of = load ptr, ptr %size.p
  %item.p = getelementptr %SequenceForm, ptr %form, i32 0, i32 3
  %item.of = load ptr, ptr %item.p
  %members.p = getelementptr %SequenceForm, ptr %form, i32 1
  %members = ptrtoint ptr %members.p to i64
  %size = call i64 %size.of(ptr %object)
  %is.size = icmp eq i64 %size, %count
  br i1 %is.size, label %each, label %other.size

other.size:
  ret i64 -8

each:
  %k = phi i64 [ 0, %begin ], [ %k.next, %accept ]
  %member = phi i64 [ %members, %begin ], [ %next, %accept ]
  %more = icmp slt i64 %k, %count
  br i1 %more, label %visit, label %done

visit:
  %item = call ptr %item.of(ptr %object, i64 %k)
  %member.p = inttoptr i64 %member to ptr
  %next = call i64 @visit(ptr %item, ptr %member.p, ptr %entry)
  %failed = icmp slt i64 %next, 0
  br i1 %failed, label %failure, label %accept

accept:
  %k.next = add i64 %k, 1
  br label %each

failure:
  ret i64 %next

done:
  ret i64 %member
}
