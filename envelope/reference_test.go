package envelope

import (
	"bytes"
	"encoding/json"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// The second reading of docs/envelope.md: slow, obvious, and built on
// encoding/json, math/big, package time and regular expressions, so that it
// shares no way of going wrong with the decoder.

// slowEvent is what the second reading makes of an event.
type slowEvent struct {
	columns map[string]any // by column name: string, int64, float64, []string
	misfits []string
	unknown int
}

// member is a key and its value; an object is a []member, since keys may stand
// twice.
type member struct {
	key   string
	value any // []member, []any, string, json.Number, bool, nil
}

func slowTree(t *testing.T, value []byte) any {
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	var read func() any
	read = func() any {
		token, err := d.Token()
		require.NoError(t, err)
		switch token {
		case json.Delim('{'):
			object := []member{}
			for d.More() {
				key, err := d.Token()
				require.NoError(t, err)
				object = append(object, member{key.(string), read()})
			}
			_, err = d.Token()
			require.NoError(t, err)
			return object
		case json.Delim('['):
			list := []any{}
			for d.More() {
				list = append(list, read())
			}
			_, err = d.Token()
			require.NoError(t, err)
			return list
		}
		return token
	}
	return read()
}

// slowSyntax judges bytes, grammar, kind and depth.
func slowSyntax(b []byte) ErrorClass {
	switch {
	case !utf8.Valid(b):
		return NotUTF8
	case !json.Valid(b) || slices.ContainsFunc(escapes.FindAllString(string(b), -1), loneSurrogate.MatchString):
		return NotJSON
	case depthOf(b) > maxDepth:
		return TooDeep
	case bytes.TrimLeft(b, " \t\r\n")[0] != '{':
		return NotObject
	}
	return ""
}

var (
	escapes       = regexp.MustCompile(`\\(?:u[dD][89abAB][[:xdigit:]]{2}\\u[dD][c-fC-F][[:xdigit:]]{2}|u[[:xdigit:]]{4}|[^u])`)
	loneSurrogate = regexp.MustCompile(`^\\u[dD][89a-fA-F][[:xdigit:]]{2}$`)
)

// depthOf is the deepest nesting of brackets outside of strings.
func depthOf(b []byte) int {
	deepest, depth, inString := 0, 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}

// slowRead reads an object that slowSyntax has nothing against.
func slowRead(t *testing.T, value []byte, needSpec bool) (*slowEvent, ErrorClass, string) {
	top := slowTree(t, value).([]member)
	data, _ := lookUp(top, "data").([]member)
	if key := slowDuplicate(top); key != "" {
		return nil, DuplicateKey, key
	}
	if !slices.ContainsFunc(top, func(m member) bool { return m.key == "specversion" }) && !needSpec {
		return nil, UnknownFormat, ""
	}
	ev := &slowEvent{columns: map[string]any{}}
	for _, key := range []string{"specversion", "id", "source", "type", "time"} {
		text, class := slowRequired(lookUp(top, key))
		if class != "" {
			return nil, class, key
		}
		micros, isTime := slowTime(text)
		switch {
		case key == "specversion" && text != "1.0":
			return nil, UnsupportedSpecVersion, key
		case key == "time" && !isTime:
			return nil, BadTime, key
		case key == "time":
			ev.columns["event_time"] = micros
		case key == "type":
			ev.columns["event_type"], ev.columns["event_class"] = text, slowClass(text)
		case key != "specversion":
			ev.columns[map[string]string{"id": "event_id", "source": "source"}[key]] = text
		}
	}
	for _, m := range top {
		switch column := columnOf(m.key, false); {
		case slices.Contains([]string{"specversion", "id", "source", "type", "time", "data", "data_base64"}, m.key):
		case m.key == "traceparent":
			ev.takeTraceparent(m.value)
		case column == nil:
			ev.unknown++
		default:
			ev.take(column, m.key, m.value)
		}
	}
	for _, m := range data {
		switch column := columnOf(m.key, true); {
		case column == nil && !slices.Contains(longContent, m.key):
			ev.unknown++
		case column == nil, column.Context != "" && lookUp(top, column.Context) != nil:
		default:
			ev.take(column, m.key, m.value)
		}
	}
	return ev, "", ""
}

func lookUp(object []member, key string) any {
	for _, m := range object {
		if m.key == key {
			return m.value
		}
	}
	return nil
}

func columnOf(key string, inData bool) *Column {
	for i := range Columns {
		if c := &Columns[i]; key != "" && (!inData && c.Context == key || inData && c.Data == key) {
			return c
		}
	}
	return nil
}

// slowDuplicate finds the first key that must not stand twice and does.
func slowDuplicate(top []member) string {
	seen := map[string]bool{}
	for _, m := range top {
		if m.key == "specversion" || m.key == "data" || columnOf(m.key, false) != nil {
			if seen[m.key] {
				return m.key
			}
			seen[m.key] = true
		}
		if data, ok := m.value.([]member); ok && m.key == "data" {
			inner := map[string]bool{}
			for _, d := range data {
				if inner[d.key] && columnOf(d.key, true) != nil {
					return d.key
				}
				inner[d.key] = true
			}
		}
	}
	return ""
}

func slowRequired(v any) (string, ErrorClass) {
	text, isString := v.(string)
	switch {
	case v == nil:
		return "", Missing
	case !isString:
		return "", WrongType
	case text == "":
		return "", Empty
	}
	return text, ""
}

var slowClasses = []*regexp.Regexp{
	regexp.MustCompile(`(?s)^(?:.*\.)?agent\.([a-z0-9_-]{1,64})\.v[0-9]+$`),
	regexp.MustCompile(`(?s)^(?:.*\.)?agent\.([a-z0-9_-]{1,64})$`),
}

func slowClass(typ string) string {
	for _, r := range slowClasses {
		if m := r.FindStringSubmatch(typ); m != nil {
			return m[1]
		}
	}
	return "other"
}

func (ev *slowEvent) take(c *Column, key string, v any) {
	if v == nil {
		return
	}
	if value, ok := slowConvert(c.Kind, v); ok {
		ev.columns[c.Name] = value
	} else {
		ev.misfits = append(ev.misfits, key)
	}
}

var slowTraceparent = regexp.MustCompile(`(?s)^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$`)

func (ev *slowEvent) takeTraceparent(v any) {
	if v == nil {
		return
	}
	s, _ := v.(string)
	m := slowTraceparent.FindStringSubmatch(s)
	if m == nil || m[1] == "ff" || m[1] == "00" && m[4] != "" || strings.Trim(m[2], "0") == "" || strings.Trim(m[3], "0") == "" {
		ev.misfits = append(ev.misfits, "traceparent")
		return
	}
	ev.columns["trace_id"], ev.columns["span_id"] = m[2], m[3]
}

func slowConvert(k Kind, v any) (any, bool) {
	s, isString := v.(string)
	number, isNumber := v.(json.Number)
	switch {
	case k == Text && isString:
		return s, true
	case k == Text && isNumber:
		return string(number), true
	case k == Text:
		b, isBool := v.(bool)
		return map[bool]string{true: "true", false: "false"}[b], isBool
	case k == TextList && isString:
		return []string{s}, true
	case k == TextList:
		list, ok := v.([]any)
		out := []string{}
		for _, e := range list {
			s, isString := e.(string)
			out, ok = append(out, s), ok && isString
		}
		return out, ok
	case k == Timestamp:
		return slowTime(s)
	case isNumber:
		return slowNumber(k, string(number))
	case k == Sequence:
		s = padding.ReplaceAllString(s, "$1$2")
	}
	if !jsonNumber.MatchString(s) {
		return nil, false
	}
	return slowNumber(k, s)
}

var (
	padding    = regexp.MustCompile(`^(-?)0+([0-9])`)
	jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)
	longExp    = regexp.MustCompile(`[eE]([+-]?)0*([1-9][0-9]{4,})$`)
)

func slowNumber(k Kind, n string) (any, bool) {
	// Too long for big.Rat, and for digits that would make up for it.
	if m := longExp.FindStringSubmatch(n); m != nil && len(n) < 5_000 {
		n = strings.TrimSuffix(n, m[0]) + "e" + m[1] + "10000"
	}
	r, ok := new(big.Rat).SetString(n)
	if !ok {
		return nil, false
	}
	limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(18), nil)
	switch k {
	case Seconds, Double:
		if k == Seconds {
			r.Mul(r, big.NewRat(1000, 1))
		}
		f, _ := r.Float64()
		if n[0] == '-' && f == 0 {
			f = math.Copysign(0, -1)
		}
		return f, !math.IsInf(f, 0)
	case Decimal9:
		q := roundHalfEven(r.Mul(r, big.NewRat(1_000_000_000, 1)))
		return q.Int64(), q.CmpAbs(limit) < 0
	}
	if !r.IsInt() || !r.Num().IsInt64() || k == Count && r.Sign() < 0 {
		return nil, false
	}
	return r.Num().Int64(), true
}

func roundHalfEven(r *big.Rat) *big.Int {
	q, rem := new(big.Int).DivMod(r.Num(), r.Denom(), new(big.Int))
	twice := rem.Lsh(rem, 1).Cmp(r.Denom())
	if twice > 0 || twice == 0 && q.Bit(0) == 1 {
		q.Add(q, big.NewInt(1))
	}
	return q
}

var rfc3339Shape = regexp.MustCompile(`^([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:)([0-9]{2})(?:\.([0-9]+))?(?:[Zz]|([+-](?:[01][0-9]|2[0-3]):[0-5][0-9]))$`)

func slowTime(s string) (int64, bool) {
	m := rfc3339Shape.FindStringSubmatch(s)
	if m == nil {
		return 0, false
	}
	second, fraction, leap := m[3], m[4]+"000000", time.Duration(0)
	if second == "60" {
		second, fraction, leap = "59", "000000", time.Second
	}
	zone := m[5]
	if zone == "" {
		zone = "+00:00"
	}
	t, err := time.Parse("2006-01-02T15:04:05.000000-07:00", m[1]+"T"+m[2]+second+"."+fraction[:6]+zone)
	return t.Add(leap).UnixMicro(), err == nil
}
