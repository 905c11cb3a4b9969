; The native entry of a compiled step. `runtime/callpath_native.py` writes the records that it reads;
; `runtime/callpath.py` says the same in Python. It runs under the GIL, and from the first check to
; the end of the step nothing in it runs Python code.

%Object = type { i64, ptr }                       ; references, type
%Array = type { %Object, ptr, i32, ptr, ptr, ptr, ptr, i32 }
                                                  ; data, rank, shape, strides, base, dtype, flags

%Entry = type {
  ptr,                                            ; 0 what a call returns that did not run
  ptr,                                            ; 1 what a call returns: null, its outputs; 1, the
                                                  ;   only output itself; otherwise this object
  ptr, ptr,                                       ; 2 the table; the step, null to check only
  i64, ptr,                                       ; 4 arguments: count, forms
  i64, ptr,                                       ; 6 outputs: count, records
  i64, ptr, ptr, ptr, ptr,                        ; 8 arrays that are not empty: count, where each
                                                  ;   starts and ends, whether it is updated, their
                                                  ;   order in memory at the last call
  ptr,                                            ; 13 the type ndarray
  i64, i64, ptr                                   ; 14 arguments that come by position: at least, at
                                                  ;   most; the names of all
}

; Forms lie one behind the other, a group's members after it. All start with a kind and a type.
%Form = type { i64, ptr }
%ArrayForm = type { %Form, i64, ptr, i64, i64, i64, i64 }
                                                  ; slot, dtype, flags, bytes, span or -1, rank;
                                                  ; the shape follows
%ValueForm = type { %Form, i64 }                  ; slot
%IntegerForm = type { %Form, i64, i64, i64, i64 } ; slot, least, greatest, cell
%DictForm = type { %Form, i64 }                   ; count; the keys follow
%SequenceForm = type { %Form, i64, ptr, ptr }     ; count, the functions that give size and items
%Output = type { i64, ptr, i64, ptr }             ; slot, dtype, rank, shape

declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)
declare ptr @PyLong_FromLongLong(i64)
declare i64 @PyLong_AsLongLongAndOverflow(ptr, ptr)
declare i64 @PyDict_Size(ptr)
declare i32 @PyDict_Next(ptr, ptr, ptr, ptr)
declare i32 @PyUnicode_Compare(ptr, ptr)
declare ptr @PyTuple_New(i64)
declare i64 @PyTuple_Size(ptr)
declare ptr @PyTuple_GetItem(ptr, i64)
declare i32 @PyTuple_SetItem(ptr, i64, ptr)
declare ptr @PyArray_NewFromDescr(ptr, ptr, i32, ptr, ptr, ptr, i32, ptr)

; --- what Python calls --------------------------------------------------------------------------

; call(*arguments, **named): the outputs, or what says that it did not run
define ptr @tapeless_call(ptr %self, ptr %arguments, i64 %count, ptr %names) {
  %entry = call ptr @data(ptr %self)
  %outputs.p = getelementptr %Entry, ptr %entry, i32 0, i32 6
  %outputs.count = load i64, ptr %outputs.p
  %outputs = call ptr @PyTuple_New(i64 %outputs.count) ; first: it may run the garbage collector
  %none = icmp eq ptr %outputs, null
  br i1 %none, label %raise, label %check

raise:
  ret ptr null

check:
  %may.come = call i1 @may_come(ptr %entry, i64 %count)
  br i1 %may.come, label %look, label %refused

look:
  %failure = call i64 @check(ptr %entry, ptr %arguments, i64 %count, ptr %names)
  %passed = icmp eq i64 %failure, 0
  br i1 %passed, label %allocate, label %refused

allocate:
  %allocated = call i1 @allocate(ptr %entry, ptr %outputs)
  br i1 %allocated, label %run, label %drop

drop:
  call void @Py_DecRef(ptr %outputs)
  ret ptr null

run:
  %status = call i64 @run(ptr %entry, ptr %outputs)
  %done = icmp eq i64 %status, 0
  br i1 %done, label %result, label %refused

refused:
  call void @Py_DecRef(ptr %outputs)
  %miss = load ptr, ptr %entry
  call void @Py_IncRef(ptr %miss)
  ret ptr %miss

result:
  %returned.p = getelementptr %Entry, ptr %entry, i32 0, i32 1
  %returned = load i64, ptr %returned.p
  switch i64 %returned, label %other [ i64 0, label %all
                                       i64 1, label %only ]

all:
  ret ptr %outputs

only:
  %output = call ptr @PyTuple_GetItem(ptr %outputs, i64 0)
  call void @Py_IncRef(ptr %output)
  call void @Py_DecRef(ptr %outputs)
  ret ptr %output

other:
  %object = load ptr, ptr %returned.p
  call void @Py_IncRef(ptr %object)
  call void @Py_DecRef(ptr %outputs)
  ret ptr %object
}

; run(outputs, *arguments): the status, as an int
define ptr @tapeless_run(ptr %self, ptr %objects, i64 %count) {
  %entry = call ptr @data(ptr %self)
  %outputs = load ptr, ptr %objects
  %arguments = getelementptr ptr, ptr %objects, i64 1
  %arguments.count = sub i64 %count, 1
  %failure = call i64 @check(ptr %entry, ptr %arguments, i64 %arguments.count, ptr null)
  %passed = icmp eq i64 %failure, 0
  br i1 %passed, label %run, label %failed

failed:
  %refusal = call ptr @PyLong_FromLongLong(i64 %failure)
  ret ptr %refusal

run:
  %number = call i64 @run(ptr %entry, ptr %outputs)
  %status = call ptr @PyLong_FromLongLong(i64 %number)
  ret ptr %status
}

; outputs(): fresh arrays for `run`
define ptr @tapeless_outputs(ptr %self, ptr %nothing) {
  %entry = call ptr @data(ptr %self)
  %count.p = getelementptr %Entry, ptr %entry, i32 0, i32 6
  %count = load i64, ptr %count.p
  %outputs = call ptr @PyTuple_New(i64 %count)
  %none = icmp eq ptr %outputs, null
  br i1 %none, label %raise, label %fill

fill:
  %allocated = call i1 @allocate(ptr %entry, ptr %outputs)
  br i1 %allocated, label %made, label %drop

made:
  ret ptr %outputs

drop:
  call void @Py_DecRef(ptr %outputs)
  br label %raise

raise:
  ret ptr null
}

; --- how arguments are given --------------------------------------------------------------------

; Whether so many arguments may come by position, and the others by name
define internal i1 @may_come(ptr %entry, i64 %given) {
  %least.p = getelementptr %Entry, ptr %entry, i32 0, i32 14
  %least = load i64, ptr %least.p
  %most.p = getelementptr %Entry, ptr %entry, i32 0, i32 15
  %most = load i64, ptr %most.p
  %enough = icmp sge i64 %given, %least
  %not.more = icmp sle i64 %given, %most
  %may = and i1 %enough, %not.more
  ret i1 %may
}

; Where among the %count names the one of argument %i stands, or -1
define internal i64 @find(ptr %entry, i64 %i, ptr %names, i64 %count) {
begin:
  %wanted.p = getelementptr %Entry, ptr %entry, i32 0, i32 16
  %wanted.names = load ptr, ptr %wanted.p
  %name.p = getelementptr ptr, ptr %wanted.names, i64 %i
  %wanted = load ptr, ptr %name.p
  br label %each

each:
  %k = phi i64 [ 0, %begin ], [ %k.next, %compare.text ]
  %more = icmp slt i64 %k, %count
  br i1 %more, label %compare, label %missing

compare:
  %name = call ptr @PyTuple_GetItem(ptr %names, i64 %k)
  %same = icmp eq ptr %name, %wanted
  br i1 %same, label %found, label %compare.text

compare.text:
  %k.next = add i64 %k, 1
  %difference = call i32 @PyUnicode_Compare(ptr %name, ptr %wanted)
  %equal = icmp eq i32 %difference, 0
  br i1 %equal, label %found, label %each

found:
  ret i64 %k

missing:
  ret i64 -1
}

; --- outputs and the step -----------------------------------------------------------------------

define internal ptr @data(ptr %array) {
  %data.p = getelementptr %Array, ptr %array, i32 0, i32 1
  %data = load ptr, ptr %data.p
  ret ptr %data
}

; Fill a new tuple with arrays; false, with an exception set, if there is no memory.
define internal i1 @allocate(ptr %entry, ptr %tuple) {
begin:
  %count.p = getelementptr %Entry, ptr %entry, i32 0, i32 6
  %count = load i64, ptr %count.p
  %outputs.p = getelementptr %Entry, ptr %entry, i32 0, i32 7
  %outputs = load ptr, ptr %outputs.p
  %type.p = getelementptr %Entry, ptr %entry, i32 0, i32 13
  %type = load ptr, ptr %type.p
  br label %each

each:
  %i = phi i64 [ 0, %begin ], [ %i.next, %store ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %make, label %done

make:
  %dtype.p = getelementptr %Output, ptr %outputs, i64 %i, i32 1
  %dtype = load ptr, ptr %dtype.p
  %rank.p = getelementptr %Output, ptr %outputs, i64 %i, i32 2
  %rank.64 = load i64, ptr %rank.p
  %rank = trunc i64 %rank.64 to i32
  %shape.p = getelementptr %Output, ptr %outputs, i64 %i, i32 3
  %shape = load ptr, ptr %shape.p
  call void @Py_IncRef(ptr %dtype)                ; for the array to keep
  %array = call ptr @PyArray_NewFromDescr(ptr %type, ptr %dtype, i32 %rank, ptr %shape, ptr null,
                                          ptr null, i32 0, ptr null)
  %none = icmp eq ptr %array, null
  br i1 %none, label %failed, label %store

store:
  %stored = call i32 @PyTuple_SetItem(ptr %tuple, i64 %i, ptr %array)
  %i.next = add i64 %i, 1
  br label %each

done:
  ret i1 true

failed:
  ret i1 false
}

; Run the step on what `check` has put into the table and on these outputs; its status.
define internal i64 @run(ptr %entry, ptr %tuple) {
begin:
  %table.p = getelementptr %Entry, ptr %entry, i32 0, i32 2
  %table = load ptr, ptr %table.p
  %step.p = getelementptr %Entry, ptr %entry, i32 0, i32 3
  %step = load ptr, ptr %step.p
  %count.p = getelementptr %Entry, ptr %entry, i32 0, i32 6
  %count = load i64, ptr %count.p
  %outputs.p = getelementptr %Entry, ptr %entry, i32 0, i32 7
  %outputs = load ptr, ptr %outputs.p
  br label %each

each:
  %i = phi i64 [ 0, %begin ], [ %i.next, %place ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %place, label %placed

place:
  %array = call ptr @PyTuple_GetItem(ptr %tuple, i64 %i)
  %data = call ptr @data(ptr %array)
  %slot.p = getelementptr %Output, ptr %outputs, i64 %i
  %slot = load i64, ptr %slot.p
  %place.p = getelementptr ptr, ptr %table, i64 %slot
  store ptr %data, ptr %place.p
  %i.next = add i64 %i, 1
  br label %each

placed:
  %no.step = icmp eq ptr %step, null
  br i1 %no.step, label %checked, label %call.step

checked:
  ret i64 0

call.step:
  %status = call i64 %step(ptr %table)
  ret i64 %status
}
