package gen

// class is the class of an event.
type class uint8

const (
	prompt class = iota
	input
	retrieval
	toolCall
	output
	action
	handoff
	evaluation
	classes
)

var classNames = [classes]string{"prompt", "input", "context_retrieval", "tool_call", "output", "action", "handoff", "evaluation"}

// effect is how far an action got.
type effect uint8

const (
	committed effect = iota
	failed           // its tool call failed
	planned          // a person said no
)

var effectNames = [...]string{"committed", "failed", "planned"}

// none stands for a step or a run that there is not.
const none = -1

// step is one event of a session before it is written. Steps refer to others by
// index. The steps of all open sessions are held, so they are small: what an
// event says comes of the session's key when it is written.
type step struct {
	at, took int64 // when it begins, ms since the Unix epoch; how long it takes, ms
	decided  int64 // of actions: when a person said yes or no, ms since the Unix epoch; 0 is never
	tool     *tool // of tool calls and actions, and of outputs that ask for one
	class    class
	run      int16
	seq      int16 // place in the run
	cause    int16 // step, or none
	parent   int16 // step whose span this one is in, or none
	ask      int16 // of tool calls and actions: the output that asks for them
	retryOf  int16 // step, or none
	into     int16 // of handoffs: the run that they begin
	tokens   int16 // of outputs: what the model reads
	attempt  uint8 // of tool calls, from 1
	failed   bool  // of tool calls
	effect   effect
	again    bool // an action that was committed already
}

// run is one invocation of an agent.
type run struct {
	agent  *agent
	parent int16 // run that handed over to it, or none
	turn   int16 // of the session; a turn is a trace
	root   int16 // its input, whose span holds the others
	steps  int16
}

// session is a conversation, planned in full when it begins and written step by
// step.
type session struct {
	number  uint64
	key     uint64
	user    uint64
	tenant  string
	env     string
	variant string
	service bool // a service account is accountable, not a user
	success bool
	runs    []run
	steps   []step
	next    int // step to write
}

// planner makes up sessions.
type planner struct {
	dice
	o       *Options
	key     uint64 // of the options
	cast    *cast
	drift   int64 // from when agents choose other tools, ms since the Unix epoch
	shift   int64 // from when tools take longer
	latency int64 // of the session's model, in thousandths

	s     *session
	clock int64 // ms since the Unix epoch
	turn  int16
}

// leastSteps are in every session: prompt, input, output, tool call, output,
// evaluation.
const leastSteps = 6

const (
	usersPerTenant = 400
	retrievalShare = 0.45 // of runs
	handoffShare   = 0.13
	changeShare    = 0.55
	rejectedShare  = 0.03 // of changes that a person is asked about
	mostAttempts   = 3
)

var (
	environments       = []string{"prod", "staging", "dev"}
	environmentWeights = []int{88, 9, 3}
	turnWeights        = []int{62, 28, 10} // one turn, two, three
)

// plan makes up the session of a number, which begins at a time in ms since the
// Unix epoch.
func (p *planner) plan(s *session, number uint64, start int64) {
	key := mix2(p.key, number)
	*s = session{number: number, key: key, runs: s.runs[:0], steps: s.steps[:0]}
	p.Seed(key, number)
	p.s, p.clock = s, start
	tenant := p.skewed(len(p.cast.tenants))
	s.tenant = p.cast.tenants[tenant]
	s.user = mix2(p.o.Seed, 1<<50|uint64(tenant)<<32|uint64(p.skewed(usersPerTenant)))
	s.env = environments[p.pick(environmentWeights)]
	a := &p.cast.agents[p.skewed(len(p.cast.agents))]
	s.service = a.role.service && p.hit(0.5)
	p.enroll()
	var last int16
	turns := int16(1 + p.pick(turnWeights))
	for p.turn = 0; p.turn < turns; p.turn++ {
		last = p.converse(a)
		p.clock += int64(p.between(4_000, 45_000)) // the user reads and thinks
	}
	r := s.steps[last].run
	p.add(step{class: evaluation, run: r, cause: last, parent: s.runs[r].root, took: p.around(900)})
}

// enroll decides on the session's variant, and with it on its success and the
// speed of its model.
func (p *planner) enroll() {
	e, success := &p.o.Experiment, p.o.Success
	p.latency = 1000
	if e.Name != "" && p.hit(e.Share) {
		p.s.variant, success = "A", e.SuccessA
		if p.hit(0.5) {
			p.s.variant, success, p.latency = "B", e.SuccessB, milli(e.LatencyB)
		}
	}
	p.s.success = p.hit(success)
}

// add adds a step that begins now, and returns its index.
func (p *planner) add(st step) int16 {
	r := &p.s.runs[st.run]
	st.at, st.seq = p.clock, r.steps
	r.steps++
	p.s.steps = append(p.s.steps, st)
	return int16(len(p.s.steps) - 1)
}

// converse is a turn: the user asks, the agent runs. It returns the answer.
func (p *planner) converse(a *agent) int16 {
	r := p.invoke(a, none)
	ask := p.add(step{class: prompt, run: r, cause: none, parent: none})
	p.clock += int64(p.between(20, 90))
	return p.work(r, ask)
}

// invoke begins a run.
func (p *planner) invoke(a *agent, parent int16) int16 {
	p.s.runs = append(p.s.runs, run{agent: a, parent: parent, turn: p.turn})
	return int16(len(p.s.runs) - 1)
}

// work is what an agent does in a run: look things up, change one at most, and
// answer. It returns the answer.
func (p *planner) work(r, cause int16) int16 {
	role, called := p.s.runs[r].agent.role, p.s.runs[r].parent != none
	root := p.add(step{class: input, run: r, cause: cause, parent: cause})
	p.s.runs[r].root = root
	at := root
	if p.hit(retrievalShare) {
		took := p.around(120)
		at = p.add(step{class: retrieval, run: r, cause: at, parent: root, took: took})
		p.clock += took
	}
	for range p.between(1, 3) {
		at = p.call(p.ask(r, at, role.reads))
	}
	if !called && len(p.cast.agents) > 1 && p.hit(handoffShare) {
		at = p.handOver(r, at)
	}
	if p.hit(changeShare) {
		at = p.change(p.ask(r, at, role.writes))
	}
	at = p.think(r, at, nil)
	p.s.steps[root].took = p.clock - p.s.steps[root].at
	return at
}

// think is an output: the model asks for a tool, or without one answers.
func (p *planner) think(r, cause int16, t *tool) int16 {
	run := &p.s.runs[r]
	took := max(1, p.around(run.agent.model.median)*p.latency/1000)
	seen := 700 + 260*run.steps + int16(p.below(240)) // it reads all of the run so far
	at := p.add(step{class: output, run: r, cause: cause, parent: run.root, tool: t, took: took, tokens: seen})
	p.clock += took
	return at
}

// ask lets the model ask for one of the tools, and returns the call to make.
func (p *planner) ask(r, cause int16, from []tool) step {
	t := choose(&p.dice, from, p.clock >= p.drift)
	ask := p.think(r, cause, t)
	return step{class: toolCall, run: r, cause: ask, parent: p.s.runs[r].root, ask: ask, tool: t, retryOf: none}
}

// call makes a call, again where it fails. It returns the last attempt.
func (p *planner) call(st step) int16 {
	factor := int64(1000)
	if p.clock >= p.shift {
		factor = milli(p.o.LatencyShift)
	}
	for st.attempt = 1; ; st.attempt++ {
		st.took = max(1, p.around(st.tool.median)*factor/1000)
		st.failed = p.hit(p.o.ErrorRate)
		at := p.add(st)
		p.clock += st.took
		if !st.failed || st.attempt == mostAttempts {
			return at
		}
		st.retryOf = at
		p.clock += 200<<st.attempt + int64(p.below(100)) // it backs off
	}
}

// change makes a call that changes the world, with the approval of a person. It
// ends in an action.
func (p *planner) change(st step) int16 {
	rejected := p.hit(rejectedShare)
	if rejected || !p.hit(p.o.UnapprovedActions) {
		p.clock += p.around(2_500)
		st.decided = p.clock
		p.clock += int64(p.between(30, 400))
	}
	if rejected {
		return p.act(st, planned)
	}
	call := p.call(st)
	st.cause, st.parent = call, call
	if p.s.steps[call].failed {
		return p.act(st, failed)
	}
	at := p.act(st, committed)
	if p.hit(p.o.DuplicateSideEffects) {
		p.clock += p.around(1_500)
		st.again = true
		at = p.act(st, committed)
	}
	return at
}

// act adds the action of a tool call.
func (p *planner) act(st step, e effect) int16 {
	st.class, st.effect = action, e
	at := p.add(st)
	p.clock += int64(p.between(5, 60))
	return at
}

// handOver has another agent do a part. It returns that one's answer.
func (p *planner) handOver(r, cause int16) int16 {
	agents := p.cast.agents
	i := p.below(len(agents))
	if &agents[i] == p.s.runs[r].agent {
		i = (i + 1) % len(agents)
	}
	into := p.invoke(&agents[i], r)
	at := p.add(step{class: handoff, run: r, cause: cause, parent: p.s.runs[r].root, into: into})
	p.clock += int64(p.between(20, 90))
	answer := p.work(into, at)
	p.s.steps[at].took = p.clock - p.s.steps[at].at
	return answer
}
