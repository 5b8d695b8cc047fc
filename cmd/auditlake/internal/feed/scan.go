package feed

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
)

// span is where a value stands in a line: line[from:to], quotes included.
type span struct{ from, to int }

func (s span) found() bool { return s.to > s.from }

// marks is what the producer needs to know of an event. A line that is no JSON
// object has none; whether a line is valid is for others to say.
type marks struct {
	time         span // of the attribute time
	session      span // of sessionid
	conversation span // of gen_ai.conversation.id in data
	approvedAt   span // of audit.approval.at in data
}

// scan finds the marks of a line. It goes over the line once and allocates
// nothing for the usual key without an escape.
func scan(line []byte) (m marks) {
	s := scanner{line: line}
	s.object(func(key []byte, value span) {
		switch string(key) {
		case "time":
			m.time = value
		case "sessionid":
			m.session = value
		case "data":
			inner := scanner{line: line, at: value.from}
			inner.object(func(key []byte, value span) {
				switch string(key) {
				case "gen_ai.conversation.id":
					m.conversation = value
				case "audit.approval.at":
					m.approvedAt = value
				}
			})
		}
	})
	if s.broken {
		return marks{}
	}
	return m
}

// key is what records of one session share: nil without a session.
func (m marks) key(line []byte) []byte {
	for _, s := range []span{m.session, m.conversation} {
		if !s.found() {
			continue
		}
		raw := line[s.from:s.to]
		if raw[0] != '"' {
			if raw[0] == '{' || raw[0] == '[' || raw[0] == 'n' {
				continue // not text, or null
			}
			return bytes.Clone(raw)
		}
		if text, ok := unquote(raw); ok {
			return []byte(text)
		}
	}
	return nil
}

// eventTime is the event's own time.
func (m marks) eventTime(line []byte) (time.Time, bool) { return timeAt(line, m.time) }

func timeAt(line []byte, s span) (time.Time, bool) {
	if !s.found() {
		return time.Time{}, false
	}
	text, ok := unquote(line[s.from:s.to])
	if !ok {
		return time.Time{}, false
	}
	return parseTime(text)
}

// parseTime reads RFC 3339 as the envelope does: in either case, and with a
// leap second as the next minute's start.
func parseTime(text string) (time.Time, bool) {
	text = strings.ToUpper(text)
	var leap time.Duration
	if len(text) > 19 && text[17:19] == "60" {
		text = text[:17] + "59" + text[19:]
		leap = time.Second
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || strings.ContainsRune(text, ',') {
		return time.Time{}, false
	}
	if leap > 0 {
		t = t.Truncate(time.Second).Add(leap)
	}
	return t, true
}

// unquote reads a JSON string.
func unquote(raw []byte) (string, bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), true
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return "", false
	}
	return text, true
}

// scanner steps over JSON without building it: it finds where values stand and
// trusts what is inside them.
type scanner struct {
	line   []byte
	at     int
	broken bool
}

// object calls visit for each member of the object at the scanner's place.
func (s *scanner) object(visit func(key []byte, value span)) {
	if !s.take('{') {
		s.broken = true
		return
	}
	if s.take('}') {
		return
	}
	for {
		s.blank()
		k := s.text()
		if s.broken || !s.take(':') {
			s.broken = true
			return
		}
		s.blank()
		v := s.value()
		if s.broken {
			return
		}
		key := s.line[k.from+1 : k.to-1]
		if bytes.IndexByte(key, '\\') >= 0 {
			text, _ := unquote(s.line[k.from:k.to])
			key = []byte(text)
		}
		visit(key, v)
		if s.take(',') {
			continue
		}
		s.broken = !s.take('}')
		return
	}
}

func (s *scanner) blank() {
	for s.at < len(s.line) && (s.line[s.at] == ' ' || s.line[s.at] == '\t' || s.line[s.at] == '\r' || s.line[s.at] == '\n') {
		s.at++
	}
}

func (s *scanner) take(c byte) bool {
	s.blank()
	if s.at < len(s.line) && s.line[s.at] == c {
		s.at++
		return true
	}
	return false
}

// text steps over a string.
func (s *scanner) text() span {
	from := s.at
	if from >= len(s.line) || s.line[from] != '"' {
		s.broken = true
		return span{}
	}
	for i := from + 1; i < len(s.line); i++ {
		switch s.line[i] {
		case '\\':
			i++
		case '"':
			s.at = i + 1
			return span{from, s.at}
		}
	}
	s.broken = true
	return span{}
}

// value steps over any value.
func (s *scanner) value() span {
	from, depth := s.at, 0
	for s.at < len(s.line) {
		switch s.line[s.at] {
		case '"':
			if s.text(); s.broken {
				return span{}
			}
		case '{', '[':
			depth++
			s.at++
		case '}', ']':
			if depth == 0 {
				return s.end(from)
			}
			depth--
			s.at++
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return s.end(from)
			}
			s.at++
		default:
			s.at++
			continue // a number or a word: on to what ends it
		}
		if depth == 0 {
			return s.end(from)
		}
	}
	s.broken = true
	return span{}
}

func (s *scanner) end(from int) span {
	s.broken = s.broken || s.at == from
	return span{from, s.at}
}
