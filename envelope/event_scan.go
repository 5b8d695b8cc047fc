package envelope

import "unicode/utf8"

// eventScan is one pass over the JSON of one event: the small door behind which
// the parser stands. Its result is in ev, or an Invalid.
type eventScan struct {
	scanner
	ev    *Event
	arena []byte // text of strings that had escapes, of all events of a record
	seen  keySet // keys of the event
	inner keySet // keys of its data

	specVersion token
	hasSpec     bool
	required    [lastRequired + 1]requiredValue
	duplicate   *Invalid
	fallbacks   []fallback
	keyText     []byte
}

// requiredColumns are filled from required attributes, in the order they are judged.
var requiredColumns = [...]ColumnID{ColEventID, ColSource, ColEventType, ColEventTime}

const lastRequired = ColEventTime

type requiredValue struct {
	token
	has bool
}

// fallback is a value of data for a column that a context attribute fills first.
type fallback struct {
	attr *attribute
	tok  token
}

// scan decodes buf into ev. With needSpec false, an object without specversion
// is unknown_format: nothing else says that it is a CloudEvent.
func (s *eventScan) scan(ev *Event, buf []byte, needSpec bool) *Invalid {
	ev.Reset()
	s.scanner = scanner{buf: buf}
	s.ev, s.seen = ev, keySet{}
	s.hasSpec, s.duplicate, s.fallbacks = false, nil, s.fallbacks[:0]
	s.required = [lastRequired + 1]requiredValue{}
	if !utf8.Valid(buf) {
		return invalid(NotUTF8, "", "not UTF-8 at byte %d", firstNotUTF8(buf))
	}
	if inv := s.document(); inv != nil {
		return inv
	}
	ev.Payload = buf
	if s.duplicate != nil {
		return s.duplicate
	}
	if inv := s.judgeSpecVersion(needSpec); inv != nil {
		return inv
	}
	if inv := s.judgeRequired(); inv != nil {
		return inv
	}
	for i := range s.fallbacks {
		f := &s.fallbacks[i]
		if !ev.Has(f.attr.column) && !s.misfit(Columns[f.attr.column].Context) {
			s.fill(f.attr, &f.tok)
		}
	}
	return nil
}

func firstNotUTF8(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(b)
}

// document reads the whole input: one object and nothing after it.
func (s *eventScan) document() *Invalid {
	if s.peek() != '{' {
		var t token
		if s.value(&t) && s.end() {
			return invalid(NotObject, "", "a JSON object was expected, found %s", t.kind)
		}
		return s.err
	}
	if !s.object(contextKeys, &s.seen) || !s.end() {
		return s.err
	}
	return nil
}

func (s *eventScan) end() bool {
	s.skipSpace()
	return s.pos == len(s.buf) || s.fail("something stands after the value")
}

// object reads an object whose keys are attributes: the event, or its data.
func (s *eventScan) object(keys *keyTable, seen *keySet) bool {
	if !s.enter() {
		return false
	}
	var t token
	for first := true; ; first = false {
		more, ok := s.key(&t, first)
		if !more {
			return ok
		}
		name := t.raw
		if t.escaped {
			s.keyText = unescape(s.keyText[:0], t.raw)
			name = s.keyText
		}
		a := keys.find(name)
		if a != nil && a.tracked && !seen.add(a.slot) && s.duplicate == nil {
			s.duplicate = invalid(DuplicateKey, a.name, "%s stands twice", a.name)
		}
		if a != nil && a.role == roleData && s.peek() == '{' {
			s.inner = keySet{}
			if !s.object(dataKeys, &s.inner) {
				return false
			}
			continue
		}
		if !s.value(&t) {
			return false
		}
		if a == nil {
			s.ev.Unknown++
			continue
		}
		s.take(a, &t)
	}
}

// take handles the value of a known attribute.
func (s *eventScan) take(a *attribute, t *token) {
	switch a.role {
	case roleSpecVersion:
		s.specVersion, s.hasSpec = *t, true
	case roleFallback:
		s.fallbacks = append(s.fallbacks, fallback{a, *t})
	case roleTraceparent:
		s.fillTraceparent(a, t)
	case roleRequired:
		s.required[a.column] = requiredValue{*t, true}
	case roleColumn:
		s.fill(a, t)
	}
}

func (s *eventScan) judgeSpecVersion(needSpec bool) *Invalid {
	if !s.hasSpec && !needSpec {
		return invalid(UnknownFormat, "", "a JSON object without specversion, and no header says that it is a CloudEvent")
	}
	if inv := judgeText("specversion", &s.specVersion, s.hasSpec); inv != nil {
		return inv
	}
	if v := s.text(&s.specVersion); string(v) != "1.0" {
		return invalid(UnsupportedSpecVersion, "specversion", "specversion is %s, only \"1.0\" is supported", excerpt(v))
	}
	return nil
}

// judgeRequired wants id, source, type and time, each a string with something in it.
func (s *eventScan) judgeRequired() *Invalid {
	for _, c := range requiredColumns {
		r := &s.required[c]
		name := Columns[c].Context
		if inv := judgeText(name, &r.token, r.has); inv != nil {
			return inv
		}
		text := s.text(&r.token)
		if c != ColEventTime {
			s.ev.Set(c, Value{Text: text})
			continue
		}
		micros, ok := parseTime(text)
		if !ok {
			return invalid(BadTime, name, "time is %s, not RFC 3339 such as 2026-01-31T12:00:00Z", excerpt(text))
		}
		s.ev.Set(c, Value{Int: micros})
	}
	s.ev.Set(ColEventClass, Value{Text: classOf(s.ev.values[ColEventType].Text)})
	return nil
}

func judgeText(name string, t *token, has bool) *Invalid {
	switch {
	case !has:
		return invalid(Missing, name, "%s is missing", name)
	case t.kind == kindNull:
		return invalid(Missing, name, "%s is null", name)
	case t.kind != kindString:
		return invalid(WrongType, name, "%s is %s (%s), a string was expected", name, t.kind, excerpt(t.raw))
	case len(t.raw) == 0:
		return invalid(Empty, name, "%s is empty", name)
	}
	return nil
}

// text returns a string token's text; it is in the arena if it had escapes.
func (s *eventScan) text(t *token) []byte {
	if !t.escaped {
		return t.raw
	}
	from := len(s.arena)
	s.arena = unescape(s.arena, t.raw)
	return s.arena[from:len(s.arena):len(s.arena)]
}
