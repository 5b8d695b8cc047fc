package gen

import (
	"strconv"
	"time"
)

// encoder writes steps as events: one line of JSON each, valid until the next.
type encoder struct {
	line       []byte
	experiment string
	thought    text
}

// Uses of the key of a step, which make unlike values of it.
const (
	useID uint64 = iota + 1
	useID2
	useSpan
	useCall
	useIdempotency
	useExternal
	useError
	useResponse
	useUsage
	useDocument
	useRun
	useTrace
	useTrace2
	useChunk
	useApprover
	useSignature
)

// stepKey is what all of a step's event comes of.
func (s *session) stepKey(i int16) uint64 { return mix2(s.key, 1<<48|uint64(i)) }

// keys are what the texts of a step come of.
func (s *session) keys(i int16) keys { return keys{s.user, s.key, s.stepKey(i)} }

// event writes a step.
func (e *encoder) event(s *session, i int16) []byte {
	st := &s.steps[i]
	e.line = append(e.line[:0], `{"specversion":"1.0"`...)
	e.context(s, i)
	e.line = append(e.line, `,"data":{`...)
	switch st.class {
	case prompt:
		e.prompt(s, i)
	case input:
		e.input(s, i)
	case retrieval:
		e.retrieval(s, i)
	case toolCall:
		e.toolCall(s, i)
	case output:
		e.output(s, i)
	case action:
		e.action(s, i)
	case handoff:
		e.handoff(s, i)
	case evaluation:
		e.evaluation(s)
	}
	if st.took > 0 {
		e.number("audit.duration_ms", st.took)
	}
	if s.variant != "" {
		e.text("audit.experiment", e.experiment)
		e.text("audit.variant", s.variant)
	}
	e.line = append(e.line, "}}\n"...)
	return e.line
}

// context writes the attributes that every event has.
func (e *encoder) context(s *session, i int16) {
	st := &s.steps[i]
	r := &s.runs[st.run]
	e.id("id", s, i)
	e.text("source", r.agent.source)
	e.open("type", "agent.")
	e.line = append(append(e.line, classNames[st.class]...), '"')
	e.time("time", st.at)
	if s.service {
		e.text("authtype", "service_account")
		e.text("authid", s.runs[0].agent.service)
	} else {
		e.tag("subject", "user:", s.user, 12)
		e.text("authtype", "user")
		e.tag("authid", "", s.user, 12)
	}
	e.open("traceparent", "00-")
	turn := mix2(s.key, uint64(r.turn)|useTrace<<40)
	e.line = appendHex(appendHex(e.line, turn, 16), mix2(turn, useTrace2), 16)
	e.line = appendHex(append(e.line, '-'), mix2(s.stepKey(i), useSpan), 16)
	e.line = append(e.line, `-01"`...)
	if st.parent != none {
		e.tag("parentspanid", "", mix2(s.stepKey(st.parent), useSpan), 16)
	}
	e.open("sequence", "")
	e.line = append(strconv.AppendInt(e.line, int64(st.seq), 10), '"')
	e.text("tenant", s.tenant)
	e.text("environment", s.env)
	e.text("agentid", r.agent.id)
	e.text("agentname", r.agent.name)
	e.text("agentversion", r.agent.version)
	e.tag("sessionid", "", s.key, 16)
	e.tag("runid", "", s.runKey(st.run), 16)
	if r.parent != none {
		e.tag("parentrunid", "", s.runKey(r.parent), 16)
	}
	if st.cause != none {
		e.id("causationid", s, st.cause)
		if from := s.runs[s.steps[st.cause].run].agent; from != r.agent {
			e.text("causationsource", from.source)
		}
	}
	if st.class == prompt || st.class == retrieval {
		e.text("dataclassification", r.agent.role.classification)
		if r.agent.role.regulation != "" {
			e.text("dataregulation", r.agent.role.regulation)
		}
	}
}

func (s *session) runKey(r int16) uint64 { return mix2(s.key, uint64(r)|useRun<<40) }

func (e *encoder) prompt(s *session, i int16) {
	role := s.runs[s.steps[i].run].agent.role
	say := role.followUp
	if i == 0 {
		say = role.prompt
	}
	e.message("gen_ai.input.messages", "user")
	e.part("text", say, s.keys(i))
	e.line = append(e.line, "}]}]"...)
}

func (e *encoder) input(s *session, i int16) {
	a := s.runs[s.steps[i].run].agent
	e.text("gen_ai.operation.name", "invoke_agent")
	e.text("gen_ai.provider.name", a.model.provider)
	e.text("gen_ai.request.model", a.model.request)
	e.raw("gen_ai.request.temperature", a.role.temperature)
	e.number("gen_ai.request.seed", int64(s.key>>40))
	e.text("gen_ai.prompt.name", a.role.name)
	e.text("audit.prompt.version", a.version)
	e.text("audit.prompt.sha256", a.systemSHA256)
	e.text("audit.tools.sha256", a.toolsSHA256)
	e.raw("gen_ai.system_instructions", a.system)
	e.raw("gen_ai.tool.definitions", a.tools)
	e.text("audit.status", "ok")
}

// documentsPerSource are there to be found.
const documentsPerSource = 60

func (e *encoder) retrieval(s *session, i int16) {
	role, key := s.runs[s.steps[i].run].agent.role, mix2(s.stepKey(i), useDocument)
	source := role.sources[key%uint64(len(role.sources))]
	n, first, score := key>>8%3+1, key>>16%documentsPerSource, 960-key>>24%80
	e.text("gen_ai.operation.name", "retrieval")
	e.text("gen_ai.data_source.id", source)
	e.number("audit.retrieval.document_count", int64(n))
	e.say("gen_ai.retrieval.query.text", role.query, s.keys(i))
	e.name("gen_ai.retrieval.documents")
	e.line = append(e.line, '[')
	for d := range n {
		if d > 0 {
			e.line = append(e.line, ',')
		}
		e.document(role, source, (first+7*d)%documentsPerSource, score-d*(20+key>>32%40))
	}
	e.line = append(e.line, ']')
	e.text("audit.status", "ok")
}

// document is the same whoever finds it; only the score, in thousandths, is not.
func (e *encoder) document(role *role, source string, number, score uint64) {
	key := mix2(nameKey(source), number)
	e.line = append(e.line, `{"id":"`...)
	e.line = append(append(e.line, source...), '-')
	e.line = appendPadded(e.line, number, 3)
	e.line = appendPadded(append(e.line, `","score":0.`...), score, 3)
	e.open("version", "")
	e.line = append(strconv.AppendUint(e.line, 1+key%6, 10), '"')
	e.hex("sha256", mix2(key, 1), mix2(key, 2), mix2(key, 3), mix2(key, 4))
	e.open("uri", "kb://")
	e.line = append(append(e.line, source...), '/')
	e.line = append(appendPadded(e.line, number, 3), '"')
	e.say("content", role.document, same(key))
	e.line = append(e.line, '}')
}

var errorTypes = []string{"timeout", "rate_limited", "unavailable", "connection_reset", "internal"}

func (e *encoder) toolCall(s *session, i int16) {
	st := &s.steps[i]
	e.text("gen_ai.operation.name", "execute_tool")
	e.text("gen_ai.tool.name", st.tool.name)
	e.text("gen_ai.tool.type", st.tool.kind)
	e.callID("gen_ai.tool.call.id", s, st.ask)
	e.number("audit.attempt", int64(st.attempt))
	if st.retryOf != none {
		e.id("audit.retry_of", s, st.retryOf)
	}
	if st.tool.changes() {
		e.idempotencyKey(s, st)
	}
	e.value("gen_ai.tool.call.arguments", st.tool.args, s.keys(st.ask)) // as the output has them
	if st.failed {
		key := mix2(s.stepKey(i), useError)
		kind := errorTypes[key%uint64(len(errorTypes))]
		e.text("audit.status", "error")
		e.text("error.type", kind)
		e.name("gen_ai.tool.call.result")
		e.line = append(append(e.line, `{"error":"`...), kind...)
		e.line = append(appendHex(append(e.line, `","request":"`...), key, 16), `"}`...)
		return
	}
	e.text("audit.status", "ok")
	e.value("gen_ai.tool.call.result", st.tool.result, s.keys(i))
}

// usage is what an output costs; cost is in billionths of the model's currency.
type usage struct{ in, cached, out, cost int64 }

func (s *session) usage(i int16) usage {
	st, m := &s.steps[i], s.runs[s.steps[i].run].agent.model
	key := mix2(s.stepKey(i), useUsage)
	u := usage{in: int64(st.tokens), out: 24 + int64(key%220)}
	if st.seq > 3 {
		u.cached = u.in * int64(40+key>>16%50) / 100
	}
	u.cost = (u.in-u.cached)*m.in + u.cached*m.in/4 + u.out*m.out
	return u
}

func (e *encoder) output(s *session, i int16) {
	st, u := &s.steps[i], s.usage(i)
	a := s.runs[st.run].agent
	e.text("gen_ai.operation.name", "chat")
	e.text("gen_ai.provider.name", a.model.provider)
	e.text("gen_ai.request.model", a.model.request)
	e.text("gen_ai.response.model", a.model.response)
	e.tag("gen_ai.response.id", "resp_", mix2(s.stepKey(i), useResponse), 16)
	e.number("gen_ai.usage.input_tokens", u.in)
	e.number("gen_ai.usage.output_tokens", u.out)
	if u.cached > 0 {
		e.number("gen_ai.usage.cache_read.input_tokens", u.cached)
	}
	e.open("audit.cost.amount", "")
	e.line = append(appendMoney(e.line, u.cost), '"')
	e.text("audit.cost.currency", a.model.currency)
	e.text("audit.cost.source", "estimated")
	e.name("gen_ai.response.time_to_first_chunk")
	chunk := st.took * int64(12+mix2(s.stepKey(i), useChunk)%30) / 100
	e.line = append(strconv.AppendInt(e.line, chunk/1000, 10), '.')
	e.line = appendPadded(e.line, uint64(chunk%1000), 3)
	e.text("audit.status", "ok")
	e.message("gen_ai.output.messages", "assistant")
	e.part("reasoning", e.thought, s.keys(i))
	e.open("signature", "")
	e.line = append(token(96)(e.line, mix2(s.stepKey(i), useSignature)), `"},`...)
	if st.tool == nil {
		e.part("text", s.answer(st), s.keys(i))
		e.line = append(e.line, `}],"finish_reason":"stop"}]`...)
		e.raw("gen_ai.response.finish_reasons", `["stop"]`)
		return
	}
	e.part("text", st.tool.why, s.keys(i))
	e.line = append(e.line, `},{"type":"tool_call"`...)
	e.callID("id", s, i)
	e.text("name", st.tool.name)
	e.value("arguments", st.tool.args, s.keys(i))
	e.line = append(e.line, `}],"finish_reason":"tool_call"}]`...)
	e.raw("gen_ai.response.finish_reasons", `["tool_calls"]`)
}

// answer is what the last output of a run says: of a session that fails, the
// last one of all admits it.
func (s *session) answer(st *step) text {
	r, last := &s.runs[st.run], &s.runs[len(s.runs)-1]
	if !s.success && r.parent == none && r.turn == last.turn {
		return r.agent.role.bad
	}
	return r.agent.role.good
}

var approvers = []string{"user:duty-manager", "user:team-lead", "user:controller", "user:on-call"}

func (e *encoder) action(s *session, i int16) {
	st := &s.steps[i]
	e.text("gen_ai.tool.name", st.tool.name)
	e.callID("gen_ai.tool.call.id", s, st.ask)
	e.text("audit.action.name", st.tool.action)
	e.text("audit.action.target", st.tool.target)
	e.say("audit.action.resource", st.tool.resource, s.keys(st.ask))
	e.text("audit.action.effect", effectNames[st.effect])
	e.idempotencyKey(s, st)
	e.text("audit.policy.id", st.tool.policy)
	e.text("audit.policy.decision", "needs_approval")
	if st.decided != 0 {
		e.text("audit.approval.by", approvers[mix2(s.stepKey(st.ask), useApprover)%uint64(len(approvers))])
		e.time("audit.approval.at", st.decided)
		decision := "approved"
		if st.effect == planned {
			decision = "rejected"
		}
		e.text("audit.approval.decision", decision)
	}
	switch st.effect {
	case committed:
		e.tag("audit.action.external_id", "x-", mix2(s.stepKey(i), useExternal), 16)
		e.text("audit.status", "ok")
	case failed:
		e.text("audit.status", "error")
		e.text("error.type", "tool_failed")
	case planned:
		e.text("audit.status", "denied")
	}
}

func (e *encoder) handoff(s *session, i int16) {
	to := s.runs[s.steps[i].into].agent
	e.text("gen_ai.operation.name", "invoke_agent")
	e.message("gen_ai.input.messages", "assistant")
	e.part("text", to.role.brief, s.keys(i))
	e.line = append(e.line, "}]}]"...)
	e.text("audit.status", "ok")
}

func (e *encoder) evaluation(s *session) {
	score, label := int64(0), "fail"
	if s.success {
		score, label = 1, "pass"
	}
	e.text("gen_ai.evaluation.name", "task_success")
	e.number("gen_ai.evaluation.score.value", score)
	e.text("gen_ai.evaluation.score.label", label)
	e.text("audit.status", "ok")
}

// name writes the name of a member, and before it a comma where one is due.
func (e *encoder) name(name string) {
	if e.line[len(e.line)-1] != '{' {
		e.line = append(e.line, ',')
	}
	e.line = append(append(append(e.line, '"'), name...), `":`...)
}

// open begins a string.
func (e *encoder) open(name, begin string) {
	e.name(name)
	e.line = append(append(e.line, '"'), begin...)
}

// text writes a string that needs no escape.
func (e *encoder) text(name, value string) {
	e.open(name, value)
	e.line = append(e.line, '"')
}

// raw writes what is JSON already.
func (e *encoder) raw(name, json string) {
	e.name(name)
	e.line = append(e.line, json...)
}

func (e *encoder) number(name string, n int64) {
	e.name(name)
	e.line = strconv.AppendInt(e.line, n, 10)
}

func (e *encoder) time(name string, ms int64) {
	e.open(name, "")
	e.line = append(time.UnixMilli(ms).UTC().AppendFormat(e.line, "2006-01-02T15:04:05.000Z"), '"')
}

// tag writes a prefix and the first n of 16 hex digits of a key.
func (e *encoder) tag(name, prefix string, key uint64, n int) {
	e.open(name, prefix)
	e.line = append(appendHex(e.line, key, n), '"')
}

// hex writes keys as hex digits.
func (e *encoder) hex(name string, keys ...uint64) {
	e.open(name, "")
	for _, key := range keys {
		e.line = appendHex(e.line, key, 16)
	}
	e.line = append(e.line, '"')
}

// id writes the id of a step's event.
func (e *encoder) id(name string, s *session, i int16) {
	e.hex(name, mix2(s.stepKey(i), useID), mix2(s.stepKey(i), useID2))
}

// callID writes the model's id of the call that an output asks for.
func (e *encoder) callID(name string, s *session, ask int16) {
	e.tag(name, "call_", mix2(s.stepKey(ask), useCall), 16)
}

func (e *encoder) idempotencyKey(s *session, st *step) {
	e.tag("audit.idempotency_key", "", mix2(s.stepKey(st.ask), useIdempotency), 16)
}

// say writes a text as a string.
func (e *encoder) say(name string, t text, k keys) {
	e.open(name, "")
	e.line = append(t.append(e.line, &k), '"')
}

// value writes a text that is JSON.
func (e *encoder) value(name string, t text, k keys) {
	e.name(name)
	e.line = t.append(e.line, &k)
}

// message begins a list of one message, up to its first part.
func (e *encoder) message(name, role string) {
	e.name(name)
	e.line = append(append(append(e.line, `[{"role":"`...), role...), `","parts":[`...)
}

// part writes a part of a message but for its closing brace.
func (e *encoder) part(kind string, t text, k keys) {
	e.line = append(e.line, '{')
	e.text("type", kind)
	e.say("content", t, k)
}

// appendMoney writes billionths as a decimal.
func appendMoney(dst []byte, n int64) []byte {
	dst = append(strconv.AppendInt(dst, n/1e9, 10), '.')
	return appendPadded(dst, uint64(n%1e9), 9)
}
