/*
 * The commit protocol of the sink, for one topic partition: see docs/exactly-once.md.
 *
 * Two workers and a zombie believe all at once, and all the time, that the topic
 * partition is theirs: no consumer group keeps them apart, which is more than any
 * group can do wrong. They crash and start again, with other limits perhaps; answers
 * of the catalog get lost, and requests arrive long after their sender gave up.
 *
 * Names in brackets are the Go functions that do it. A -D of one of the names that
 * docs/model/run lists breaks one step.
 */

#ifndef N
#define N 2       /* records of the log */
#endif
#define WORKERS 3
#ifndef BATCHES
#define BATCHES 2 /* of the first worker, in all its lives; the others have one */
#endif
#ifndef FAULTS
#define FAULTS 2  /* of all together: answers that get lost, crashes, commits that run out of time */
#endif

#define EVENTS 0  /* agent_events */
#define DEAD   1  /* dead_letters */

/* Commit ids, which are marks, too: 0 is none, then a claim and a batch in turns. */
#define CLAIM(b) (2 * (b) + 1)
#define BATCH(b) (2 * (b) + 2)
#define bit(i)   (1 << (i))

/* A table's current snapshot. */
typedef Table {
	byte next;       /* the offset it is at */
	byte mark;       /* who set it; 0: nobody, the offset is not known */
	int  landed;     /* commit ids of it and its ancestors, while anybody may ask, a set */
	byte rows;       /* records that have a row, a set */
}

/* A snapshot commit under way. It is pinned to the head that its sender saw: one
 * that lands makes all others of its table void, see land. */
typedef Request {
	bool used;
	byte table, id, end, rows, batch;
}

Table   t[2];
Request late;        /* one whose sender has given up */
byte    kind[N];     /* 0: an event, 1: a dead letter, 2: one where the limits are strict */
int     deleted[2];  /* batches whose data files of that table were deleted, a set */
int     placed[2];   /* batches whose data files are in that table, a set */
byte    faults, ended;
bool    calm;        /* faults are over */

inline forget() {
	late.used = false; late.table = 0; late.id = 0; late.end = 0; late.rows = 0; late.batch = 0
}

/* A snapshot commit lands [Stage]. */
inline land(tbl, cid, to, mask, by) {
	t[tbl].next = to;
	t[tbl].mark = cid;
	t[tbl].landed = t[tbl].landed | bit(cid);
	if
	:: mask != 0 ->
		assert((deleted[tbl] & bit(by)) == 0); /* no snapshot without its files */
		placed[tbl] = placed[tbl] | bit(by)
	:: else
	fi;
	/* Once: no record has two rows, in one table or both. */
	assert((mask & (t[EVENTS].rows | t[DEAD].rows)) == 0);
	t[tbl].rows = t[tbl].rows | mask;
	/* No loss: what agent_events is past of has its row. */
	assert(((bit(t[EVENTS].next) - 1) & ~(t[EVENTS].rows | t[DEAD].rows)) == 0);
#ifndef HEAD_NOT_PINNED
	if
	:: late.used && late.table == tbl -> forget()
	:: else
	fi
#endif
}

/* The request that was under way arrives after all, or never does. */
proctype network() {
	do
	:: atomic { late.used ->
		if
		:: land(late.table, late.id, late.end, late.rows, late.batch)
		:: true
		fi;
		forget() }
	:: atomic { ended == WORKERS && !late.used -> break }
	od
}

/* Outcomes of a commit. */
#define TRYING     0
#define LANDED     1
#define FENCED     2
#define UNKNOWN    3
#define NOT_LANDED 4
#define CRASHED    5 /* the worker died: there is nobody to have an outcome */

/* Whether a table is where a range goes on [Range.follows]. A table that does not
 * know the topic partition is. */
#ifdef NO_OFFSET_CHECK
#define FOLLOWS(tbl, from, seenmark) true
#else
#ifdef NO_MARK_CHECK
#define FOLLOWS(tbl, from, seenmark) (t[tbl].mark == 0 || t[tbl].next == from)
#else
#define FOLLOWS(tbl, from, seenmark) (t[tbl].mark == 0 || t[tbl].next == from && t[tbl].mark == seenmark)
#endif
#endif

/* How an attempt that landed is told from one that did not [CommitSnapshot]. */
#ifdef LANDED_BY_END
#define FOUND(tbl, cid, from, to) (t[tbl].mark != 0 && t[tbl].next == to && to > from)
#else
#define FOUND(tbl, cid, from, to) ((t[tbl].landed & bit(cid)) != 0)
#endif

/*
 * One attempt of a snapshot commit [try]; while the outcome is TRYING there is
 * another one [Commit]. Reading the head, judging the batch and a commit that gets
 * through are one step here: the commit is pinned to the head that was read, so where
 * somebody was faster it is a conflict, and the same attempt is made again. A worker
 * may die before any attempt.
 */
inline attempt(tbl, cid, from, to, seenmark, mask) {
	if
	:: faults < FAULTS && !calm -> faults++; outcome = CRASHED
	:: faults < FAULTS && !calm && !unknown -> faults++; outcome = NOT_LANDED /* out of time: conflicts, a catalog that is down [Pause] */
	:: !calm && unknown -> outcome = UNKNOWN
	:: FOUND(tbl, cid, from, to) -> outcome = LANDED
	:: !FOUND(tbl, cid, from, to) && !FOLLOWS(tbl, from, seenmark) -> outcome = FENCED
	:: !FOUND(tbl, cid, from, to) && FOLLOWS(tbl, from, seenmark) -> /* it goes out */
		if
		:: land(tbl, cid, to, mask, b); outcome = LANDED
		:: faults < FAULTS && !calm -> /* no answer [Judge] */
			faults++; unknown = true;
			if
			:: land(tbl, cid, to, mask, b)
			:: !late.used -> /* it may yet */
				late.used = true; late.table = tbl; late.id = cid; late.end = to; late.rows = mask; late.batch = b
			:: true
			fi
		fi
	fi
}

/* The data files of a table go with a dropped batch unless a commit of them landed
 * or may land [land, neverLands]. */
inline judge(tbl) {
	if
	:: outcome == NOT_LANDED || outcome == FENCED && !unknown -> sent[tbl] = false
#ifdef DELETE_AFTER_UNKNOWN
	:: outcome == UNKNOWN -> sent[tbl] = false
#endif
	:: else
	fi
}

/* [dropLocked, removeUnsent] */
inline drop(tbl) {
	if
	:: files[tbl] != 0 && !sent[tbl] ->
		assert((placed[tbl] & bit(b)) == 0); /* no file of a snapshot is deleted */
		deleted[tbl] = deleted[tbl] | bit(b)
	:: else
	fi
}

/* What nobody will ask for any more makes no difference. */
inline tidy(tbl) {
	t[tbl].landed = t[tbl].landed & ~(bit(CLAIM(b)) | bit(BATCH(b)));
	placed[tbl] = placed[tbl] & ~bit(b);
	if
	:: late.used && late.batch == b
	:: else -> deleted[tbl] = deleted[tbl] & ~bit(b)
	fi
}

/* What a worker does next. */
#define BEGIN   0 /* read dead_letters: a start or a rewind */
#define READ    1 /* read agent_events, and the log */
#define CLAIMS  2 /* commit a claim */
#define LETTERS 3 /* commit dead_letters */
#define ROWS    4 /* commit agent_events */

/* The commits of a batch, in order [landBatch, landDead]. */
#ifdef NO_CLAIM
#define NEEDS_CLAIM false
#else
#define NEEDS_CLAIM (files[DEAD] != 0 && !claimed)
#endif
#ifdef NO_FIRST_DEAD
#define NEEDS_DEAD (files[DEAD] != 0)
#else
#define NEEDS_DEAD (files[DEAD] != 0 || !claimed)
#endif

/* What is polled until a bound of the batch [take, takeDead]. */
inline takeBatch() {
	next = start;
	do
	:: next < N ->
		if
		:: already & bit(next)
		:: !(already & bit(next)) && (kind[next] == 1 || kind[next] == 2 && strict) -> files[DEAD] = files[DEAD] | bit(next)
		:: !(already & bit(next)) && (kind[next] == 0 || kind[next] == 2 && !strict) -> files[EVENTS] = files[EVENTS] | bit(next)
		fi;
		next++
	:: next > start && !calm -> break
	:: next == N -> break
	od;
	if
#ifdef EVENTS_FIRST
	:: true -> sent[EVENTS] = true; phase = ROWS
#else
	:: NEEDS_CLAIM -> phase = CLAIMS
	:: !NEEDS_CLAIM && NEEDS_DEAD -> sent[DEAD] = true; phase = LETTERS
	:: !NEEDS_CLAIM && !NEEDS_DEAD -> sent[EVENTS] = true; phase = ROWS
#endif
	fi
}

/* The end of a batch, whatever became of it. */
inline endBatch() {
	if
	:: outcome == LANDED -> /* [landed] */
		start = next; seen = BATCH(b); claimed = true;
		already = already & ~(bit(start) - 1);
		phase = READ
	:: outcome == FENCED -> /* [flushOrDrop, rewindOwned] */
		drop(EVENTS); drop(DEAD);
#ifdef NO_REWIND
		start = next; claimed = true; seen = t[EVENTS].mark; deadNext = t[DEAD].next; deadSeen = t[DEAD].mark;
		phase = READ
#else
		phase = BEGIN
#endif
	:: outcome == UNKNOWN || outcome == NOT_LANDED -> /* Run ends; its supervisor starts it again */
		drop(EVENTS); drop(DEAD);
		phase = BEGIN
	:: outcome == CRASHED -> /* nothing is cleaned up */
		phase = BEGIN
	fi;
	tidy(EVENTS); tidy(DEAD);
	b++; next = 0;
	files[EVENTS] = 0; files[DEAD] = 0; sent[EVENTS] = false; sent[DEAD] = false;
	if
	:: phase == BEGIN -> start = 0; seen = 0; deadNext = 0; deadSeen = 0; already = 0; strict = false; claimed = false
	:: else
	fi
}

#define WORKS (b < first + batches && t[EVENTS].next < N)

/* A sink, over its lives. first is its first batch, for ids of its own. */
proctype worker(byte first; byte batches) {
	byte phase, b;                /* the batch */
	byte start, next, seen;       /* agent_events' offset and mark, and where to read next [progress] */
	byte deadNext, deadSeen;      /* dead_letters' */
	byte already;                 /* its rows from start on, a set */
	bool strict, claimed;
	byte files[2];                /* records of the batch's data files, by table, a set */
	bool sent[2];
	byte outcome;
	bool unknown;
	b = first;
	do
	:: atomic { phase == BEGIN && WORKS ->
		/* [resolve]: dead_letters is read first, its rows with it [OffsetsIn] */
		if
		:: strict = true
		:: strict = false
		fi;
		deadNext = t[DEAD].next; deadSeen = t[DEAD].mark;
#ifndef IGNORE_ALREADY
		already = t[DEAD].rows;
#endif
		phase = READ }
	:: atomic { phase == READ && WORKS ->
		if
		:: claimed
		:: !claimed -> start = t[EVENTS].next; seen = t[EVENTS].mark; already = already & ~(bit(start) - 1)
		fi;
		takeBatch() }
	:: atomic { phase == CLAIMS -> /* [claims] */
		attempt(EVENTS, CLAIM(b), start, start, seen, 0);
		if
		:: outcome == TRYING
		:: outcome == LANDED -> seen = CLAIM(b); sent[DEAD] = true; phase = LETTERS; unknown = false
		:: else -> endBatch(); unknown = false
		fi;
		outcome = TRYING }
	:: atomic { phase == LETTERS -> /* [deadRanges, land] */
		if
		:: next > deadNext -> attempt(DEAD, BATCH(b), deadNext, next, deadSeen, files[DEAD])
		:: else -> attempt(DEAD, BATCH(b), deadNext, deadNext, deadSeen, files[DEAD])
		fi;
		judge(DEAD);
		if
		:: outcome == TRYING
		:: outcome == LANDED ->
			deadNext = (next > deadNext -> next : deadNext); deadSeen = BATCH(b); unknown = false;
#ifdef EVENTS_FIRST
			endBatch()
#else
			sent[EVENTS] = true; phase = ROWS
#endif
		:: else -> endBatch(); unknown = false
		fi;
		outcome = TRYING }
	:: atomic { phase == ROWS -> /* [eventRanges, land] */
		attempt(EVENTS, BATCH(b), start, next, seen, files[EVENTS]);
		judge(EVENTS);
		if
		:: outcome == TRYING
#ifdef EVENTS_FIRST
		:: outcome == LANDED && NEEDS_DEAD -> sent[DEAD] = true; phase = LETTERS; unknown = false
		:: outcome == LANDED && !NEEDS_DEAD -> endBatch(); unknown = false
		:: outcome != TRYING && outcome != LANDED -> endBatch(); unknown = false
#else
		:: else -> endBatch(); unknown = false
#endif
		fi;
		outcome = TRYING }
	:: atomic { (phase == BEGIN || phase == READ) && !WORKS -> ended++; break }
	od
}

init {
	byte i;
	atomic {
		do
		:: i < N ->
			if
			:: i % 2 == 0 -> kind[i] = 2
			:: i % 2 == 1 -> kind[i] = 0
			:: i % 2 == 1 -> kind[i] = 1
			fi;
			i++
		:: else -> break
		od;
		i = 0;
		run network(); run worker(0, BATCHES); run worker(BATCHES, 1); run worker(BATCHES + 1, 1)
	}
	/* Faults are over. One more sink gets through, whatever the others left. */
	(ended == WORKERS && _nr_pr == 1);
	calm = true;
	run worker(BATCHES + 2, 1);
	(_nr_pr == 1);
	assert(t[EVENTS].next == N);
}
