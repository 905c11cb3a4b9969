; The pool of threads; `runtime/pool.py` says what it promises, and defines what differs between
; processors: @pause, @read_mode, @write_mode, and the number of the system call FUTEX.
;
; The claims are the one word that threads fight for: sequence number : 32, high : 16, low : 16.
; The chunks low .. high - 1 of the present region are unclaimed. The caller takes the lowest, the
; first of all before anyone sees the word, the workers the highest, so with two threads a chunk
; tends to stay with its thread from region to region. A claim is a compare-and-exchange on the
; whole word: while it succeeds the region is not finished, so what was read of the job before
; belongs to it.
;
; A cache line takes about 50 ns from one processor to another, and the shortest region is two such
; ways: the word and the job, which are one line, and the count of what is done. So nothing else
; that both write is touched, and the caller does not wait until others have seen its word.

%Region = type { i64, ptr, ptr, i64, i64 }        ; claims, task, context, workers allowed, mode

@region   = internal global %Region zeroinitializer, align 64
@finished = internal global i64 0, align 64       ; chunks that workers have finished, ever
@settled  = internal global i64 0, align 64       ; those of earlier regions
@sleeping = internal global i64 0, align 64       ; workers that wait in the kernel, or soon will
@busy     = internal global i64 0, align 64       ; 1 while a region runs
@closing  = internal global i64 0
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
  %fits = icmp ult i64 %chunks, 65536
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
  %mode = call i64 @read_mode()
  %task.p = getelementptr %Region, ptr @region, i32 0, i32 1
  store atomic ptr %task, ptr %task.p monotonic, align 8
  %context.p = getelementptr %Region, ptr @region, i32 0, i32 2
  store atomic ptr %context, ptr %context.p monotonic, align 8
  %helpers.p = getelementptr %Region, ptr @region, i32 0, i32 3
  store atomic i64 %helpers, ptr %helpers.p monotonic, align 8
  %mode.p = getelementptr %Region, ptr @region, i32 0, i32 4
  store atomic i64 %mode, ptr %mode.p monotonic, align 8
  %all = shl i64 %chunks, 16
  %open = or i64 %all, 1
  %next = call i64 @next_word(i64 %open)
  store atomic i64 %next, ptr @region release, align 8
  call void @wake()
  br label %run

take:
  %word = load atomic i64, ptr @region monotonic, align 8
  %low = and i64 %word, 65535
  %above = lshr i64 %word, 16
  %high = and i64 %above, 65535
  %left = icmp ult i64 %low, %high
  br i1 %left, label %claim, label %await

claim:
  %less = add i64 %word, 1
  %claimed = cmpxchg ptr @region, i64 %word, i64 %less acq_rel monotonic
  %mine = extractvalue { i64, i1 } %claimed, 1
  br i1 %mine, label %run, label %take

run:
  %chunk = phi i64 [ 0, %publish ], [ %low, %claim ]
  call void %task(ptr %context, i64 %chunk)
  br label %take

await:                                            ; only for chunks that a worker has claimed
  %others = sub i64 %chunks, %low
  %before = load atomic i64, ptr @settled monotonic, align 8
  %wanted = add i64 %before, %others
  br label %check

check:
  %turn = phi i64 [ 0, %await ], [ %turn.next, %relax ]
  %count = load atomic i64, ptr @finished acquire, align 8
  %complete = icmp eq i64 %count, %wanted
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
  store atomic i64 %wanted, ptr @settled monotonic, align 8
  store atomic i64 0, ptr @busy release, align 8
  ret void

done:
  ret void
}

; The claims with the next sequence number and these chunks.
define internal i64 @next_word(i64 %open) {
  %old = load atomic i64, ptr @region monotonic, align 8
  %sequence = and i64 %old, -4294967296
  %next = add i64 %sequence, 4294967296
  %word = or i64 %next, %open
  ret i64 %word
}

; A call to all who sleep. One who is about to may miss it and sleeps through a region: the caller
; does not wait for him.
define internal void @wake() {
  %sleeping = load atomic i64, ptr @sleeping seq_cst, align 8
  %any = icmp ne i64 %sleeping, 0
  br i1 %any, label %wake, label %done
wake:
  %sequence.p = getelementptr i8, ptr @region, i64 4
  %woken = call i64 (i64, ...) @syscall(i64 FUTEX, ptr %sequence.p, i32 129, i32 2147483647)
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
  br label %rest

rest:
  br label %look

look:
  %turn = phi i64 [ 0, %rest ], [ %turn, %missed ], [ %turn.next, %idle ], [ %turn.next, %clock ]
  %until = phi i64 [ 0, %rest ], [ %until, %missed ], [ %until, %idle ], [ %until.next, %clock ]
  %word = load atomic i64, ptr @region acquire, align 8
  %low = and i64 %word, 65535
  %above = lshr i64 %word, 16
  %high = and i64 %above, 65535
  %left = icmp ult i64 %low, %high
  br i1 %left, label %consider, label %idle

consider:
  %task.p = getelementptr %Region, ptr @region, i32 0, i32 1
  %task = load atomic ptr, ptr %task.p monotonic, align 8
  %context.p = getelementptr %Region, ptr @region, i32 0, i32 2
  %context = load atomic ptr, ptr %context.p monotonic, align 8
  %helpers.p = getelementptr %Region, ptr @region, i32 0, i32 3
  %helpers = load atomic i64, ptr %helpers.p monotonic, align 8
  %mode.p = getelementptr %Region, ptr @region, i32 0, i32 4
  %mode = load atomic i64, ptr %mode.p monotonic, align 8
  %allowed = icmp ult i64 %k, %helpers
  br i1 %allowed, label %claim, label %idle

claim:
  %less = sub i64 %word, 65536
  %claimed = cmpxchg ptr @region, i64 %word, i64 %less acq_rel monotonic
  %mine = extractvalue { i64, i1 } %claimed, 1
  br i1 %mine, label %run, label %missed

missed:
  br label %look

run:
  %chunk = sub i64 %high, 1
  call void @write_mode(i64 %mode)
  call void %task(ptr %context, i64 %chunk)
  %count = atomicrmw add ptr @finished, i64 1 release
  br label %rest

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
  %seen.64 = lshr i64 %word, 32
  %seen = trunc i64 %seen.64 to i32
  %word.now = load atomic i64, ptr @region seq_cst, align 8
  %now.64 = lshr i64 %word.now, 32
  %same = icmp eq i64 %seen.64, %now.64
  br i1 %same, label %wait, label %awake

wait:
  %sequence.p = getelementptr i8, ptr @region, i64 4
  %slept = call i64 (i64, ...) @syscall(i64 FUTEX, ptr %sequence.p, i32 128, i32 %seen, ptr null)
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
  %last.word = call i64 @next_word(i64 0)
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
  store atomic i64 0, ptr @finished monotonic, align 8
  store atomic i64 0, ptr @settled monotonic, align 8
  store atomic i64 0, ptr @sleeping monotonic, align 8
  store atomic i64 0, ptr @hired monotonic, align 8
  store atomic i64 0, ptr @closing monotonic, align 8
  store atomic i64 0, ptr @busy seq_cst, align 8
  ret void
}

declare i64 @llvm.umin.i64(i64, i64)
declare i64 @llvm.umax.i64(i64, i64)
