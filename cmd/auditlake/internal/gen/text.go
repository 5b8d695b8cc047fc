package gen

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// text is a template made ready. In its source <slot> is a value that stays the
// same all through a session, <~slot> one that is new in every event, and (a|b)
// is either a or b; \( and \) are parentheses. A number after a slot's name makes
// another value of its kind.
type text []piece

// piece is a literal and what follows it: a slot, a choice, or nothing.
type piece struct {
	literal string
	slot    writer
	scope   scope
	choice  []text
	salt    uint64 // tells the values apart that come of one key
}

// scope says how long a slot keeps its value.
type scope uint8

const (
	perPerson scope = iota
	perSession
	perEvent
	scopes
)

// keys are what the values of a text come of, one for each scope.
type keys [scopes]uint64

// same are keys of a text that depends on one thing alone.
func same(key uint64) keys { return keys{key, key, key} }

// words is the text of a source, inside of a JSON string.
func words(source string) text { return compile(source, escape) }

// raw is the text of a source that is JSON itself.
func raw(source string) text { return compile(source, func(s string) string { return s }) }

// compile panics on a mistake in the corpus, all of which every test compiles.
func compile(source string, literal func(string) string) text {
	p := parser{source: source, literal: literal, salt: nameKey(source)}
	return p.text("")
}

type parser struct {
	source  string
	at      int
	salt    uint64 // of the last choice; other texts have others
	literal func(string) string
}

// text reads up to one of the ends, or to the end of the source.
func (p *parser) text(ends string) text {
	var t text
	for {
		rest := p.source[p.at:]
		i := strings.IndexAny(rest, "<(|)")
		if i < 0 {
			p.at = len(p.source)
			return append(t, piece{literal: p.literal(rest)})
		}
		p.at += i
		next := piece{literal: p.literal(rest[:i])}
		switch {
		case i > 0 && rest[i-1] == '\\':
			next.literal = p.literal(rest[:i-1] + rest[i:i+1])
			p.at++
		case rest[i] == '<':
			p.slot(&next)
		case rest[i] == '(':
			p.choice(&next)
		default:
			if !strings.ContainsRune(ends, rune(rest[i])) {
				panic(fmt.Sprintf("gen: %q out of place in %q", rest[i], p.source))
			}
			return append(t, next)
		}
		t = append(t, next)
	}
}

func (p *parser) slot(next *piece) {
	name, _, closed := strings.Cut(p.source[p.at+1:], ">")
	p.at += len(name) + 2
	name, fresh := strings.CutPrefix(name, "~")
	s, known := slots[strings.TrimRight(name, "0123456789")]
	if !known || !closed {
		panic(fmt.Sprintf("gen: no slot %q in %q", name, p.source))
	}
	next.slot, next.scope = s, perSession
	if personal[name] {
		next.scope = perPerson // with one salt, so that name and address fit together
		return
	}
	if fresh {
		next.scope = perEvent
	}
	next.salt = nameKey(name)
}

func (p *parser) choice(next *piece) {
	p.salt++
	next.salt = mix(p.salt)
	for p.at < len(p.source) && p.source[p.at] != ')' {
		p.at++ // over ( or |
		next.choice = append(next.choice, p.text("|)"))
	}
	if p.at++; p.at > len(p.source) {
		panic(fmt.Sprintf("gen: a choice is not closed in %q", p.source))
	}
}

// append writes the text.
func (t text) append(dst []byte, k *keys) []byte {
	for i := range t {
		p := &t[i]
		dst = append(dst, p.literal...)
		switch {
		case p.slot != nil:
			dst = p.slot(dst, mix(k[p.scope]^p.salt))
		case p.choice != nil:
			n := mix(k[perEvent]^p.salt) % uint64(len(p.choice))
			dst = p.choice[n].append(dst, k)
		}
	}
	return dst
}

// nameKey is the key of a name.
func nameKey(name string) uint64 {
	var key uint64
	for i := range len(name) {
		key = mix2(key, uint64(name[i]))
	}
	return key
}

// escape is s as the inside of a JSON string.
func escape(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic(err) // a string always encodes
	}
	return strings.TrimSuffix(b.String()[1:], "\"\n")
}
