package envelope

import (
	"bytes"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// FuzzDecode holds the decoder against a second, slow reading of the same rules
// built on encoding/json: both accept the same bytes as JSON, and what the
// decoder makes of an event is what the slow reading makes of it.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/examples/*.json")
	require.NoError(f, err)
	for _, name := range files {
		raw, err := os.ReadFile(name)
		require.NoError(f, err)
		f.Add(raw)
	}
	for _, seed := range []string{"", "{}", "[", `{"a":"\ud800"}`, "{" + base + `,"tenant":"\u0061","\u0069d":"x"}`, "{" + base + `,"sequence":"007"}`,
		"{" + base + `,"data":{"audit.cost.amount":1.00000000050,"gen_ai.request.seed":1e18,"gen_ai.usage.input_tokens":12.0}}`,
		"{" + base + `,"data":{"gen_ai.request.seed":92233720368547758070e-1,"gen_ai.request.temperature":1e400}}`,
		"\xef\xbb\xbf{}", "{" + base + `,"data":{"gen_ai.response.finish_reasons":["a",["b"]]}}`, strings.Repeat("[", 130)} {
		f.Add([]byte(seed))
	}
	d := NewDecoder(DefaultLimits)
	f.Fuzz(func(t *testing.T, value []byte) {
		before := bytes.Clone(value)
		events, err := d.Decode(&Record{Value: value, Headers: []Header{{"content-type", []byte(structuredType)}}, Timestamp: -1})
		require.True(t, bytes.Equal(before, value), "the record was written to")
		inv, _ := err.(*Invalid)
		if len(value) == 0 {
			require.Equal(t, NoEvents, inv.Class)
			return
		}
		if want := slowSyntax(value); want != "" {
			require.NotNil(t, inv, "accepted %q, which is %s", value, want)
			// Too deep shows before what is wrong after it.
			if inv.Class != want && !(inv.Class == TooDeep && want == NotJSON && depthOf(value) > maxDepth) {
				t.Fatalf("%q is %s, the decoder says %s", value, want, inv.Class)
			}
			return
		}
		if inv != nil {
			require.NotContains(t, []ErrorClass{NotUTF8, NotJSON, NotObject, TooDeep}, inv.Class, "%q: %s", value, inv.Text)
			require.True(t, utf8.ValidString(inv.Text))
			return
		}
		require.Equal(t, string(value), string(events[0].Payload))
		slowCompare(t, value, &events[0])
	})
}

// FuzzDecodeBinary: whatever is in headers and value, nothing panics, and a
// payload that was made is itself a valid structured event with the same values.
func FuzzDecodeBinary(f *testing.F) {
	f.Add("1", "/a", "agent.prompt", "2026-01-31T12:00:00Z", "tenant", "x", "application/json", []byte(`{"gen_ai.tool.name":"a"}`))
	f.Add("1", "/a", "agent.prompt", "2026-01-31T12:00:00Z", "id", "x", "", []byte(`{},"id":"2"`))
	f.Add("1", "/a", "agent.prompt", "2026-01-31T12:00:00Z", "data", "x", "text/plain", []byte("\xff"))
	d, again := NewDecoder(DefaultLimits), NewDecoder(DefaultLimits)
	f.Fuzz(func(t *testing.T, id, source, typ, when, name, attr, contentType string, value []byte) {
		r := record(string(value), "ce_specversion", "1.0", "ce_id", id, "ce_source", source, "ce_type", typ, "ce_time", when, "ce_"+name, attr)
		if contentType != "" {
			r.Headers = append(r.Headers, Header{"content-type", []byte(contentType)})
		}
		r.Timestamp = -1
		events, err := d.Decode(r)
		if err != nil || mediaType(contentType) == structuredType {
			return
		}
		payload := bytes.Clone(events[0].Payload)
		require.Empty(t, slowSyntax(payload), "%q", payload)
		second, err := again.Decode(record(string(payload)))
		if err != nil { // only the time range may differ: the first had no timestamp
			require.Equal(t, TimeOutOfRange, err.(*Invalid).Class, "%q", payload)
			return
		}
		require.ElementsMatch(t, events[0].Present(), second[0].Present())
		require.Equal(t, id, string(second[0].Value(ColEventID).Text))
	})
}

// slowSyntax is the second opinion on bytes, grammar, kind and depth.
func slowSyntax(b []byte) ErrorClass {
	switch {
	case !utf8.Valid(b):
		return NotUTF8
	case !json.Valid(b) || loneSurrogate(b):
		return NotJSON
	case depthOf(b) > maxDepth:
		return TooDeep
	case bytes.TrimLeft(b, " \t\r\n")[0] != '{':
		return NotObject
	}
	return ""
}

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

// loneSurrogate looks for an escaped surrogate that is no half of a pair: what
// encoding/json turns into U+FFFD without U+FFFD standing there.
func loneSurrogate(b []byte) bool {
	clean := bytes.ReplaceAll(b, []byte(`\\`), []byte("__"))
	for i := bytes.Index(clean, []byte(`\u`)); i >= 0; {
		var r, low rune
		rest := clean[i+2:]
		if len(rest) < 4 {
			return false
		}
		r, _ = hex4(rest)
		step := 6
		if r >= 0xD800 && r <= 0xDFFF {
			ok := r <= 0xDBFF && len(rest) >= 10 && rest[4] == '\\' && rest[5] == 'u'
			if ok {
				low, _ = hex4(rest[6:])
			}
			if !ok || low < 0xDC00 || low > 0xDFFF {
				return true
			}
			step = 12
		}
		next := bytes.Index(clean[i+step:], []byte(`\u`))
		if next < 0 {
			return false
		}
		i += step + next
	}
	return false
}

// slowCompare reads the event with encoding/json and converts with math/big and
// package time.
func slowCompare(t *testing.T, value []byte, ev *Event) {
	var top, data map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(value, &top))
	if json.Unmarshal(top["data"], &data) != nil {
		data = nil
	}
	for i, c := range Columns {
		id := ColumnID(i)
		if id == ColEventClass || id == ColTraceID || id == ColSpanID {
			continue
		}
		raw, from := top[c.Context], c.Context
		if c.Context == "" || raw == nil || string(raw) == "null" {
			raw, from = data[c.Data], c.Data
		}
		if c.Data == "" && from == "" || raw == nil || string(raw) == "null" {
			require.False(t, ev.Has(id), "%s of %q", c.Name, value)
			continue
		}
		want, ok := slowConvert(c.Kind, raw)
		require.Equal(t, ok, ev.Has(id), "%s: %s of %q", c.Name, raw, value)
		if !ok {
			require.True(t, slices.ContainsFunc(ev.Misfits, func(m []byte) bool { return string(m) == from }), "%s is no misfit of %q", from, value)
			continue
		}
		got := ev.Value(id)
		switch want := want.(type) {
		case string:
			require.Equal(t, want, string(got.Text), "%s of %q", c.Name, value)
		case int64:
			require.Equal(t, want, got.Int, "%s of %q", c.Name, value)
		case float64:
			require.Equal(t, want, got.Float, "%s of %q", c.Name, value)
		case []string:
			require.Len(t, got.List, len(want))
			for j := range want {
				require.Equal(t, want[j], string(got.List[j]))
			}
		}
	}
}

func slowConvert(k Kind, raw json.RawMessage) (any, bool) {
	var s string
	isString := json.Unmarshal(raw, &s) == nil
	switch k {
	case Text:
		if isString {
			return s, true
		}
		return string(raw), raw[0] != '{' && raw[0] != '['
	case TextList:
		if isString {
			return []string{s}, true
		}
		var list []*string
		if json.Unmarshal(raw, &list) != nil || slices.Contains(list, nil) {
			return nil, false
		}
		out := []string{}
		for _, p := range list {
			out = append(out, *p)
		}
		return out, true
	case Timestamp:
		if !isString {
			return nil, false
		}
		return slowTime(s)
	}
	if !isString {
		s = string(raw)
	} else if k == Sequence && len(s) > 0 && strings.Trim(s, "0123456789") == "" {
		if s = strings.TrimLeft(s, "0"); s == "" {
			s = "0"
		}
	}
	var n json.Number
	if json.Unmarshal([]byte(s), &n) != nil || n == "" || string(n) != s {
		return nil, false
	}
	return slowNumber(k, n)
}

func slowNumber(k Kind, n json.Number) (any, bool) {
	if k == Double || k == Seconds {
		v, err := n.Float64()
		if k == Seconds {
			v *= 1000
		}
		return v, err == nil && v-v == 0
	}
	if e := strings.IndexAny(string(n), "eE"); e >= 0 && len(n)-e > 5 {
		return nil, strings.Trim(string(n[:e]), "-0.") == "" // too large for big.Rat; only zero has a reading
	}
	r, ok := new(big.Rat).SetString(string(n))
	if !ok {
		return nil, false
	}
	if k == Decimal9 {
		r.Mul(r, big.NewRat(1_000_000_000, 1))
		q := roundHalfEven(r)
		limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(18), nil)
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

// slowTime leans on package time, which is laxer: what it lets through beyond
// RFC 3339 is refused by shape first.
func slowTime(s string) (any, bool) {
	up := strings.ToUpper(s)
	if len(s) < 20 || up[10] != 'T' || strings.ContainsAny(s, ", ") {
		return nil, false
	}
	leap := up[17:19] == "60"
	if leap {
		up = up[:17] + "59" + up[19:]
	}
	if i := strings.IndexAny(up[19:], "+-"); i >= 0 {
		zone := up[19+i:]
		if len(zone) != 6 || zone[1:3] > "23" || zone[4:6] > "59" {
			return nil, false
		}
	}
	t, err := time.Parse(time.RFC3339Nano, up)
	if err != nil {
		return nil, false
	}
	if leap {
		return t.Truncate(time.Second).Add(time.Second).UnixMicro(), true
	}
	return t.UnixMicro(), true
}
