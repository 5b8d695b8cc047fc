package envelope

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// maxDepth is how many objects and arrays may stand in one another.
const maxDepth = 128

var byteOrderMark = []byte("\xef\xbb\xbf")

// kind is what sort of JSON value a token is.
type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindString
	kindArray
	kindObject
)

var kindNames = [...]string{"null", "a boolean", "a number", "a string", "an array", "an object"}

func (k kind) String() string { return kindNames[k] }

// token is one JSON value: its bytes, for strings without the quotes.
type token struct {
	raw     []byte
	kind    kind
	escaped bool // a string with escapes
}

// scanner reads JSON (RFC 8259) in one pass and accepts nothing else. Its input
// must be valid UTF-8. It keeps no token of values that nobody asks for.
type scanner struct {
	buf   []byte
	pos   int
	depth int
	err   *Invalid
}

func (s *scanner) fail(what string) bool {
	if s.err == nil {
		s.err = invalid(NotJSON, "", "not JSON at byte %d: %s", s.pos, what)
	}
	return false
}

func (s *scanner) skipSpace() {
	for s.pos < len(s.buf) {
		switch s.buf[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// peek returns the next byte that is no blank, 0 at the end. A NUL in the input
// is returned as 0 too: no rule takes it.
func (s *scanner) peek() byte {
	s.skipSpace()
	if s.pos == len(s.buf) {
		return 0
	}
	return s.buf[s.pos]
}

// value reads one value. Only scalars and the extent of arrays and objects are
// kept; false means s.err is set.
func (s *scanner) value(t *token) bool {
	c := s.peek()
	start := s.pos
	switch {
	case c == '"':
		return s.str(t)
	case c == '{':
		t.kind = kindObject
		if !s.skipObject() {
			return false
		}
	case c == '[':
		t.kind = kindArray
		if !s.skipArray() {
			return false
		}
	case c == '-' || isDigit(c):
		t.kind = kindNumber
		if !s.number() {
			return false
		}
	case c == 't':
		t.kind = kindBool
		if !s.literal("true") {
			return false
		}
	case c == 'f':
		t.kind = kindBool
		if !s.literal("false") {
			return false
		}
	case c == 'n':
		t.kind = kindNull
		if !s.literal("null") {
			return false
		}
	case s.pos == len(s.buf):
		return s.fail("it ends where a value should be")
	case bytes.HasPrefix(s.buf[s.pos:], byteOrderMark):
		return s.fail("a byte order mark")
	default:
		return s.fail("no value starts with " + excerpt(s.buf[s.pos:s.pos+1]))
	}
	t.raw, t.escaped = s.buf[start:s.pos], false
	return true
}

func (s *scanner) literal(word string) bool {
	if len(s.buf)-s.pos < len(word) || string(s.buf[s.pos:s.pos+len(word)]) != word {
		return s.fail("expected " + word)
	}
	s.pos += len(word)
	return true
}

// enter goes one level down, past the opening bracket.
func (s *scanner) enter() bool {
	s.depth++
	if s.depth > maxDepth {
		if s.err == nil {
			s.err = invalid(TooDeep, "", "more than %d levels of nesting at byte %d", maxDepth, s.pos)
		}
		return false
	}
	s.pos++
	return true
}

func (s *scanner) skipObject() bool {
	if !s.enter() {
		return false
	}
	var t token
	for first := true; ; first = false {
		more, ok := s.key(&t, first)
		if !ok {
			return false
		}
		if !more {
			return true
		}
		if !s.value(&t) {
			return false
		}
	}
}

// key reads the next key of an object and its colon, or the object's end.
func (s *scanner) key(t *token, first bool) (more, ok bool) {
	c := s.peek()
	if c == '}' {
		s.pos++
		s.depth--
		return false, true
	}
	if !first {
		if c != ',' {
			return false, s.fail("expected , or } in an object")
		}
		s.pos++
		c = s.peek()
	}
	if c != '"' {
		return false, s.fail("expected a key")
	}
	if !s.str(t) {
		return false, false
	}
	if s.peek() != ':' {
		return false, s.fail("expected : after a key")
	}
	s.pos++
	return true, true
}

func (s *scanner) skipArray() bool {
	if !s.enter() {
		return false
	}
	var t token
	for first := true; ; first = false {
		more, ok := s.element(first)
		if !ok {
			return false
		}
		if !more {
			return true
		}
		if !s.value(&t) {
			return false
		}
	}
}

// element moves to the next element of an array, or past the array's end.
func (s *scanner) element(first bool) (more, ok bool) {
	c := s.peek()
	if c == ']' {
		s.pos++
		s.depth--
		return false, true
	}
	if !first {
		if c != ',' {
			return false, s.fail("expected , or ] in an array")
		}
		s.pos++
		if s.peek() == ']' {
			return false, s.fail("a comma before ]")
		}
	}
	return true, true
}

func (s *scanner) number() bool {
	b, i := s.buf, s.pos
	if b[i] == '-' {
		i++
	}
	digits := func() bool {
		from := i
		for i < len(b) && isDigit(b[i]) {
			i++
		}
		return i > from
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if !digits() {
		s.pos = i
		return s.fail("a number without digits")
	}
	if i < len(b) && b[i] == '.' {
		i++
		if !digits() {
			s.pos = i
			return s.fail("a number without digits after its point")
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			s.pos = i
			return s.fail("a number without digits in its exponent")
		}
	}
	s.pos = i
	return true
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// str reads a string. It looks at eight bytes at a time for a quote, a
// backslash or a control character.
func (s *scanner) str(t *token) bool {
	b, i := s.buf, s.pos+1
	start := i
	t.kind, t.escaped = kindString, false
	for {
		for i+8 <= len(b) {
			w := binary.LittleEndian.Uint64(b[i:])
			quote, back := w^('"'*ones), w^('\\'*ones)
			hit := ((quote-ones)&^quote | (back-ones)&^back | (w-0x20*ones)&^w) & highs
			if hit != 0 {
				i += bits.TrailingZeros64(hit) >> 3
				break
			}
			i += 8
		}
		if i >= len(b) {
			s.pos = len(b)
			return s.fail("a string without its end")
		}
		switch c := b[i]; {
		case c == '"':
			t.raw = b[start:i]
			s.pos = i + 1
			return true
		case c == '\\':
			t.escaped = true
			n := escapeLen(b[i:])
			if n == 0 {
				s.pos = i
				return s.fail("a wrong escape or half a surrogate pair in a string")
			}
			i += n
		case c < 0x20:
			s.pos = i
			return s.fail("a control character in a string")
		default:
			i++
		}
	}
}

// escapeLen returns the length of the escape that b starts with, both halves of
// a surrogate pair together; 0 if it is wrong.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
	default:
		return 0
	}
	r, ok := hex4(b[2:])
	switch {
	case !ok:
		return 0
	case r < 0xD800 || r > 0xDFFF:
		return 6
	case r > 0xDBFF || len(b) < 8 || b[6] != '\\' || b[7] != 'u':
		return 0
	}
	low, ok := hex4(b[8:])
	if !ok || low < 0xDC00 || low > 0xDFFF {
		return 0
	}
	return 12
}

func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
