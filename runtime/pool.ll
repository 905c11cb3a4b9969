; The pool of threads; `runtime/pool.py` says what it promises, and defines what differs between
; processors: @pause, @read_mode, @write_mode, and the number of the system call FUTEX.
;
; A cache line takes 50 ns from one processor to another, and several times that where they have no
; cache in common. The shortest region is two such ways: the line of the region, and the word in
; which a worker counts the chunks it has finished. Nothing that both write is touched besides.
;
; The chunks 0 .. C - 1 are cut into ranges, one for each of T threads: that of thread t, the caller
; being thread 0, begins at t C / T, so what a thread has in its caches stays there from region to
; region. The claims of a range are a word on a line of its own, which others leave alone until
; their own range is empty. A thread takes the lowest chunk of its range, others take the highest.
;
; Nobody sets these words when a region begins. A claims word (sequence number : 40, high : 12,
; low : 12) that has the sequence number of the region says that the chunks low .. high - 1 of the
; range are unclaimed; with the number before, that all of them are; with any other, that the region
; is over, which who looks has missed. A claim is a compare-and-exchange on the whole word: while it
; succeeds the region is not finished, so what was read of the job before belongs to it. For this
; the words of a region must have the number before when it begins: their ranges were claimed in the
; region before, or the caller sets them. Chunk 0 belongs to the caller; it is never claimed. A number
; comes again after 2^40 regions, days in which a thread would have to stand still.

%Region = type { i64, ptr, ptr, i64, i64 }        ; sequence : 40, threads : 8, chunks : 16; task,
                                                  ; context, mode, claims of the first worker
%Thread = type { i64, [15 x i64], i64, [15 x i64] }    ; claims; sequence : 40, chunks finished : 24

@region   = internal global %Region zeroinitializer, align 128
@threads  = internal global [65 x %Thread] zeroinitializer, align 128
@sleeping = internal global i64 0, align 128      ; workers that wait in the kernel, or soon will
@busy     = internal global i64 0, align 128      ; 1 while a region runs
@ranges   = internal global i64 0                 ; of the last region
@closing  = internal global i64 0, align 128
@allowed  = internal global i64 1                 ; threads a region may use, the caller included
@hired    = internal global i64 0
@workers  = internal global [64 x i64] zeroinitializer

declare i32 @pthread_create(ptr, ptr, ptr, ptr)
declare i32 @pthread_join(i64, ptr)
declare i32 @pthread_sigmask(i32, ptr, ptr)
declare i32 @sigfillset(ptr)
declare i64 @syscall(i64, ...)
declare i32 @sched_yield()
declare i32 @clock_gettime(i32, ptr)

define void @tapeless_use_threads(i64 %count) {
  store atomic i64 %count, ptr @allowed monotonic, align 8
  ret void
}

; A program's calls come in rounds: TRIED on all the threads it may use, TRIED on one, then the rest
; of the round in the way whose shortest call was shorter. Threads that share small arrays may take
; longer than one thread alone: where their processors have no cache in common, a line that another
; one has written takes 200 ns. Steps that take long are left to all threads. The first round has
; SHORTEST calls, each later one twice as many, up to ROUND: a program often begins while its process,
; or another one, is busy with something else, and a bad choice then must not last.

%Trial = type { i64, i64, i64, i64, i64, i64 }  ; calls of this round so far, least ticks on all
                                                ; threads, and on one, the threads found best, calls
                                                ; of this round in all, or 0, threads of this call

; Choose the threads of a call; when it began.
define i64 @tapeless_begin(ptr %trial, i64 %threads) {
  %alone = icmp ult i64 %threads, 2
  br i1 %alone, label %use, label %look
look:
  %calls = load atomic i64, ptr %trial monotonic, align 8
  %best.p = getelementptr %Trial, ptr %trial, i32 0, i32 3
  %best = load atomic i64, ptr %best.p monotonic, align 8
  %first = icmp ult i64 %calls, TRIED
  %tried = icmp uge i64 %calls, TWICE
  %known = select i1 %tried, i64 %best, i64 1
  %choice = select i1 %first, i64 %threads, i64 %known
  br label %use
use:
  %count = phi i64 [ %threads, %0 ], [ %choice, %look ]
  %count.p = getelementptr %Trial, ptr %trial, i32 0, i32 5
  store atomic i64 %count, ptr %count.p monotonic, align 8
  call void @tapeless_use_threads(i64 %count)
  %now = call i64 @ticks()
  ret i64 %now
}

; Note how long the call took.
define void @tapeless_end(ptr %trial, i64 %threads, i64 %began) {
  %calls = load atomic i64, ptr %trial monotonic, align 8
  %several = icmp uge i64 %threads, 2
  %trying = icmp ult i64 %calls, TWICE
  %matters = and i1 %several, %trying
  br i1 %matters, label %measure, label %count

measure:
  %now = call i64 @ticks()
  %spent = sub i64 %now, %began
  %one = icmp uge i64 %calls, TRIED
  %field = select i1 %one, i32 2, i32 1
  %least.p = getelementptr i64, ptr %trial, i32 %field
  %least = load atomic i64, ptr %least.p monotonic, align 8
  %position = urem i64 %calls, TRIED
  %fresh = icmp eq i64 %position, 0
  %fewer = call i64 @llvm.umin.i64(i64 %least, i64 %spent)
  %new = select i1 %fresh, i64 %spent, i64 %fewer
  store atomic i64 %new, ptr %least.p monotonic, align 8
  %all.p = getelementptr %Trial, ptr %trial, i32 0, i32 1
  %all = load atomic i64, ptr %all.p monotonic, align 8
  %faster = icmp ult i64 %new, %all
  %wins = and i1 %one, %faster
  %best = select i1 %wins, i64 1, i64 %threads
  %best.p = getelementptr %Trial, ptr %trial, i32 0, i32 3
  store atomic i64 %best, ptr %best.p monotonic, align 8
  %slow = icmp ugt i64 %new, LONG
  %last = icmp eq i64 %position, LAST
  %long = and i1 %slow, %last
  br i1 %long, label %skip, label %count

skip:
  store atomic i64 %threads, ptr %best.p monotonic, align 8
  br label %count

count:
  %done = phi i64 [ %calls, %0 ], [ %calls, %measure ], [ TWICE, %skip ]
  %more = add i64 %done, 1
  %round.p = getelementptr %Trial, ptr %trial, i32 0, i32 4
  %noted = load atomic i64, ptr %round.p monotonic, align 8
  %round = call i64 @llvm.umax.i64(i64 %noted, i64 SHORTEST)
  %over = icmp uge i64 %more, %round
  %next = select i1 %over, i64 0, i64 %more
  store atomic i64 %next, ptr %trial monotonic, align 8
  br i1 %over, label %lengthen, label %leave

lengthen:
  %twice = shl i64 %round, 1
  %longer = call i64 @llvm.umin.i64(i64 %twice, i64 ROUND)
  store atomic i64 %longer, ptr %round.p monotonic, align 8
  br label %leave

leave:
  ret void
}

; Run task(context, 0) .. task(context, chunks - 1), each once, in any order.
define void @tapeless_split(ptr %task, ptr %context, i64 %chunks) {
  %allowed = load atomic i64, ptr @allowed monotonic, align 8
  %fewer = call i64 @llvm.umin.i64(i64 %allowed, i64 %chunks)
  %threads = call i64 @llvm.umin.i64(i64 %fewer, i64 65)
  %several = icmp ugt i64 %threads, 1
  %fits = icmp ult i64 %chunks, 4096
  %shared = and i1 %several, %fits
  br i1 %shared, label %enter, label %alone

enter:                                            ; another caller's region: this one runs alone
  %pair = cmpxchg ptr @busy, i64 0, i64 1 acquire monotonic
  %entered = extractvalue { i64, i1 } %pair, 1
  br i1 %entered, label %staff, label %alone

alone:
  %none = icmp eq i64 %chunks, 0
  br i1 %none, label %done, label %each

each:
  %c = phi i64 [ 0, %alone ], [ %c.next, %each ]
  call void %task(ptr %context, i64 %c)
  %c.next = add i64 %c, 1
  %more = icmp ult i64 %c.next, %chunks
  br i1 %more, label %each, label %done

staff:
  %helpers = sub i64 %threads, 1
  %hired = load atomic i64, ptr @hired monotonic, align 8
  %too.few = icmp ult i64 %hired, %helpers
  br i1 %too.few, label %hire, label %publish

hire:
  call void @hire(i64 %helpers)
  br label %publish

publish:
  %old = load atomic i64, ptr @region monotonic, align 8
  %before = and i64 %old, -16777216
  %sequence = add i64 %before, 16777216
  call void @bring_up(i64 %before, i64 %threads)
  %mode = call i64 @read_mode()
  %task.p = getelementptr %Region, ptr @region, i32 0, i32 1
  store atomic ptr %task, ptr %task.p monotonic, align 8
  %context.p = getelementptr %Region, ptr @region, i32 0, i32 2
  store atomic ptr %context, ptr %context.p monotonic, align 8
  %mode.p = getelementptr %Region, ptr @region, i32 0, i32 3
  store atomic i64 %mode, ptr %mode.p monotonic, align 8
  %threads.high = shl i64 %threads, 16
  %extent = or i64 %threads.high, %chunks
  %word = or i64 %sequence, %extent
  store atomic i64 %word, ptr @region release, align 8
  call void @wake()
  call void @llvm.prefetch.p0(ptr @threads, i32 1, i32 3, i32 1)
  call void %task(ptr %context, i64 0)
  %own = call i64 @serve(i64 0, i64 %word, ptr %task, ptr %context, i64 1)
  %others = sub i64 %chunks, %own
  %helped = icmp ne i64 %others, 0
  br i1 %helped, label %check, label %leave

check:                                            ; only for chunks that a worker has claimed
  %turn = phi i64 [ 0, %publish ], [ %turn.next, %relax ]
  %count = call i64 @finished(i64 %word)
  %complete = icmp eq i64 %count, %others
  br i1 %complete, label %leave, label %wait

wait:
  %turn.next = add i64 %turn, 1
  %patient = icmp ult i64 %turn, 4096
  br i1 %patient, label %relax, label %yield

yield:                                            ; the worker may need this very processor
  %ignored = call i32 @sched_yield()
  br label %relax

relax:
  call void @pause()
  br label %check

leave:
  store atomic i64 0, ptr @busy release, align 8
  ret void

done:
  ret void
}

; Give the claims words of a new region the sequence number before: the caller's, which nobody
; changes where chunk 0 is all it has, and those of threads that the last region did without.
define internal void @bring_up(i64 %before, i64 %threads) {
  %claims = load atomic i64, ptr @threads monotonic, align 8
  %number = and i64 %claims, -16777216
  %old = icmp ne i64 %number, %before
  br i1 %old, label %own, label %look

own:
  store atomic i64 %before, ptr @threads monotonic, align 8
  br label %look

look:
  %last = load i64, ptr @ranges
  %first = call i64 @llvm.umax.i64(i64 %last, i64 1)
  store i64 %threads, ptr @ranges
  br label %next

next:
  %t = phi i64 [ %first, %look ], [ %t.next, %set ]
  %more = icmp ult i64 %t, %threads
  br i1 %more, label %set, label %done

set:
  %place = call ptr @claims(i64 %t)
  store atomic i64 %before, ptr %place monotonic, align 8
  %finished.p = getelementptr %Thread, ptr @threads, i64 %t, i32 2
  store atomic i64 %before, ptr %finished.p monotonic, align 8
  %t.next = add i64 %t, 1
  br label %next

done:
  ret void
}

; The chunks of the region of this word that workers have finished.
define internal i64 @finished(i64 %word) {
  %sequence = lshr i64 %word, 24
  %above = lshr i64 %word, 16
  %threads = and i64 %above, 255
  br label %next

next:
  %t = phi i64 [ 1, %0 ], [ %t.next, %add ]
  %total = phi i64 [ 0, %0 ], [ %sum, %add ]
  %more = icmp ult i64 %t, %threads
  br i1 %more, label %add, label %done

add:
  %place = getelementptr %Thread, ptr @threads, i64 %t, i32 2
  %noted = load atomic i64, ptr %place acquire, align 8
  %number = lshr i64 %noted, 24
  %present = icmp eq i64 %number, %sequence
  %count = and i64 %noted, 16777215
  %part = select i1 %present, i64 %count, i64 0
  %sum = add i64 %total, %part
  %t.next = add i64 %t, 1
  br label %next

done:
  ret i64 %total
}

; Run chunks of the region of this word until none is unclaimed, those of the own range first. How
; many this thread has run, given those it has run before.
define internal i64 @serve(i64 %self, i64 %word, ptr %task, ptr %context, i64 %before) {
entry:
  %sequence = and i64 %word, -16777216
  %chunks = and i64 %word, 65535
  %above = lshr i64 %word, 16
  %threads = and i64 %above, 255
  %finished.p = getelementptr %Thread, ptr @threads, i64 %self, i32 2
  br label %range

range:
  %k = phi i64 [ 0, %entry ], [ %k.next, %empty ]
  %done = phi i64 [ %before, %entry ], [ %ran, %empty ]
  %round = add i64 %self, %k
  %t = urem i64 %round, %threads
  %start = call i64 @start(i64 %t, i64 %chunks, i64 %threads)
  %first = call i64 @llvm.umax.i64(i64 %start, i64 1)
  %t.after = add i64 %t, 1
  %end = call i64 @start(i64 %t.after, i64 %chunks, i64 %threads)
  %own = icmp eq i64 %k, 0
  %place = call ptr @claims(i64 %t)
  br label %next

next:
  %ran = phi i64 [ %done, %range ], [ %ran.next, %run ]
  %chunk = call i64 @claim(ptr %place, i64 %sequence, i64 %first, i64 %end, i1 %own)
  %none = icmp eq i64 %chunk, 0
  br i1 %none, label %empty, label %run

run:
  call void %task(ptr %context, i64 %chunk)
  %ran.next = add i64 %ran, 1
  %noted = or i64 %sequence, %ran.next
  store atomic i64 %noted, ptr %finished.p release, align 8
  br label %next

empty:
  %k.next = add i64 %k, 1
  %more = icmp ult i64 %k.next, %threads
  br i1 %more, label %range, label %leave

leave:
  ret i64 %ran
}

; Where the claims of thread t lie. The first worker's are on the line of the region: it has read
; that just before, so its first claim does not wait for another one.
define internal ptr @claims(i64 %t) {
  %first = icmp eq i64 %t, 1
  %near = getelementptr %Region, ptr @region, i32 0, i32 4
  %own = getelementptr %Thread, ptr @threads, i64 %t
  %place = select i1 %first, ptr %near, ptr %own
  ret ptr %place
}

; Where the range of thread t starts.
define internal i64 @start(i64 %t, i64 %chunks, i64 %threads) {
  %product = mul i64 %t, %chunks
  %less = sub i64 %threads, 1
  %up = add i64 %product, %less
  %start = udiv i64 %up, %threads
  ret i64 %start
}

; Claim the lowest or the highest chunk of first .. end - 1 that is left; 0 if none is.
define internal i64 @claim(ptr %place, i64 %sequence, i64 %first, i64 %end, i1 %lowest) {
  %before = sub i64 %sequence, 16777216
  %holds = icmp ult i64 %first, %end              ; else the line is not looked at
  br i1 %holds, label %look, label %none

look:
  %word = load atomic i64, ptr %place monotonic, align 8
  %number = and i64 %word, -16777216
  %begun = icmp eq i64 %number, %sequence
  %fresh = icmp eq i64 %number, %before
  %valid = or i1 %begun, %fresh
  %word.low = and i64 %word, 4095
  %above = lshr i64 %word, 12
  %word.high = and i64 %above, 4095
  %low = select i1 %begun, i64 %word.low, i64 %first
  %high = select i1 %begun, i64 %word.high, i64 %end
  %any = icmp ult i64 %low, %high
  %left = and i1 %valid, %any
  br i1 %left, label %try, label %none

try:
  %more = add i64 %low, 1
  %less = sub i64 %high, 1
  %low.next = select i1 %lowest, i64 %more, i64 %low
  %high.next = select i1 %lowest, i64 %high, i64 %less
  %chunk = select i1 %lowest, i64 %low, i64 %less
  %upper = shl i64 %high.next, 12
  %open = or i64 %upper, %low.next
  %new = or i64 %sequence, %open
  %claimed = cmpxchg ptr %place, i64 %word, i64 %new acq_rel monotonic
  %mine = extractvalue { i64, i1 } %claimed, 1
  br i1 %mine, label %take, label %look

take:
  ret i64 %chunk

none:
  ret i64 0
}

; A call to all who sleep. One who is about to may miss it and sleeps through a region: the caller
; does not wait for him.
define internal void @wake() {
  %sleeping = load atomic i64, ptr @sleeping seq_cst, align 8
  %any = icmp ne i64 %sleeping, 0
  br i1 %any, label %wake, label %done
wake:
  %woken = call i64 (i64, ...) @syscall(i64 FUTEX, ptr @region, i32 129, i32 2147483647)
  br label %done
done:
  ret void
}

; Workers take no signals: they are for the threads of the program, whose waits they must interrupt.
define internal void @hire(i64 %wanted) {
  %all = alloca [128 x i8], align 8
  %before = alloca [128 x i8], align 8
  %filled = call i32 @sigfillset(ptr %all)
  %blocked = call i32 @pthread_sigmask(i32 2, ptr %all, ptr %before)
  br label %next

next:
  %k = load atomic i64, ptr @hired monotonic, align 8
  %more = icmp ult i64 %k, %wanted
  br i1 %more, label %create, label %done

create:
  %place = getelementptr i64, ptr @workers, i64 %k
  %name = inttoptr i64 %k to ptr
  %failed = call i32 @pthread_create(ptr %place, ptr null, ptr @work, ptr %name)
  %created = icmp eq i32 %failed, 0
  br i1 %created, label %count, label %done

count:
  %k.next = add i64 %k, 1
  store atomic i64 %k.next, ptr @hired monotonic, align 8
  br label %next

done:
  %restored = call i32 @pthread_sigmask(i32 2, ptr %before, ptr null)
  ret void
}

; Worker number %name: claim and run; after a millisecond without a chunk, sleep.
define internal ptr @work(ptr %name) {
entry:
  %k = ptrtoint ptr %name to i64
  %self = add i64 %k, 1
  br label %rest

rest:
  %known = phi i64 [ 0, %entry ], [ %word, %serve ], [ %served, %awake ]
  br label %look

look:
  %turn = phi i64 [ 0, %rest ], [ %turn, %missed ], [ %turn.next, %idle ], [ %turn.next, %clock ]
  %until = phi i64 [ 0, %rest ], [ %until, %missed ], [ %until, %idle ], [ %until.next, %clock ]
  %served = phi i64 [ %known, %rest ], [ %word, %missed ], [ %served, %idle ], [ %served, %clock ]
  %word = load atomic i64, ptr @region acquire, align 8
  %above = lshr i64 %word, 16
  %threads = and i64 %above, 255
  %allowed = icmp ult i64 %self, %threads
  %other = icmp ne i64 %word, %served
  %new = and i1 %allowed, %other
  br i1 %new, label %serve, label %idle

serve:
  %task.p = getelementptr %Region, ptr @region, i32 0, i32 1
  %task = load atomic ptr, ptr %task.p monotonic, align 8
  %context.p = getelementptr %Region, ptr @region, i32 0, i32 2
  %context = load atomic ptr, ptr %context.p monotonic, align 8
  %mode.p = getelementptr %Region, ptr @region, i32 0, i32 3
  %mode = load atomic i64, ptr %mode.p monotonic, align 8
  call void @write_mode(i64 %mode)
  %count = call i64 @serve(i64 %self, i64 %word, ptr %task, ptr %context, i64 0)
  %some = icmp ne i64 %count, 0
  br i1 %some, label %rest, label %missed

missed:
  br label %look

idle:                                             ; a look at the clock every 128 turns
  call void @pause()
  %turn.next = add i64 %turn, 1
  %low.bits = and i64 %turn.next, 127
  %due = icmp eq i64 %low.bits, 0
  br i1 %due, label %ask, label %look

ask:
  %closing = load atomic i64, ptr @closing monotonic, align 8
  %ends = icmp ne i64 %closing, 0
  br i1 %ends, label %end, label %read

read:
  %now = call i64 @nanoseconds()
  %first = icmp eq i64 %until, 0
  %later = add i64 %now, SPIN
  %until.next = select i1 %first, i64 %later, i64 %until
  %over = icmp ugt i64 %now, %until.next
  br i1 %over, label %sleep, label %clock

clock:
  br label %look

sleep:                                            ; unless a region began since the last look
  %asleep = atomicrmw add ptr @sleeping, i64 1 seq_cst
  %seen = trunc i64 %word to i32
  %word.now = load atomic i64, ptr @region seq_cst, align 8
  %same = icmp eq i64 %word, %word.now
  br i1 %same, label %wait, label %awake

wait:
  %slept = call i64 (i64, ...) @syscall(i64 FUTEX, ptr @region, i32 128, i32 %seen, ptr null)
  br label %awake

awake:
  %rose = atomicrmw sub ptr @sleeping, i64 1 seq_cst
  br label %rest

end:
  ret ptr null
}

define internal i64 @nanoseconds() {
  %time = alloca { i64, i64 }
  %status = call i32 @clock_gettime(i32 1, ptr %time)
  %seconds = load i64, ptr %time
  %rest.p = getelementptr i64, ptr %time, i64 1
  %rest = load i64, ptr %rest.p
  %scaled = mul i64 %seconds, 1000000000
  %sum = add i64 %scaled, %rest
  ret i64 %sum
}

; Send the workers home and wait for them; from now on every region runs alone.
define void @tapeless_close_pool() {
  %start = call i64 @nanoseconds()
  %until = add i64 %start, 1000000000
  br label %try

try:                                              ; a region that takes longer is left behind
  %pair = cmpxchg ptr @busy, i64 0, i64 1 acquire monotonic
  %entered = extractvalue { i64, i1 } %pair, 1
  br i1 %entered, label %close, label %again

again:
  %now = call i64 @nanoseconds()
  %patient = icmp ult i64 %now, %until
  br i1 %patient, label %yield, label %done

yield:
  %ignored = call i32 @sched_yield()
  br label %try

close:                                            ; who is about to sleep must not miss this
  store atomic i64 1, ptr @closing seq_cst, align 8
  %old = load atomic i64, ptr @region monotonic, align 8
  %before = and i64 %old, -16777216
  %sequence = add i64 %before, 16777216
  %last.word = or i64 %sequence, 65535            ; no region has so many chunks
  %old.word = atomicrmw xchg ptr @region, i64 %last.word seq_cst
  call void @wake()
  br label %next

next:
  %k = load atomic i64, ptr @hired monotonic, align 8
  %any = icmp ne i64 %k, 0
  br i1 %any, label %join, label %done

join:
  %last = sub i64 %k, 1
  %place = getelementptr i64, ptr @workers, i64 %last
  %worker = load i64, ptr %place
  %joined = call i32 @pthread_join(i64 %worker, ptr null)
  store atomic i64 %last, ptr @hired monotonic, align 8
  br label %next

done:
  ret void
}

; In a forked child, which has none of the workers.
define void @tapeless_reset_pool() {
  store atomic i64 0, ptr @region monotonic, align 8
  store i64 0, ptr @ranges
  store atomic i64 0, ptr @sleeping monotonic, align 8
  store atomic i64 0, ptr @hired monotonic, align 8
  store atomic i64 0, ptr @closing monotonic, align 8
  store atomic i64 0, ptr @busy seq_cst, align 8
  ret void
}

declare void @llvm.prefetch.p0(ptr, i32, i32, i32)
declare i64 @llvm.umin.i64(i64, i64)
declare i64 @llvm.umax.i64(i64, i64)
