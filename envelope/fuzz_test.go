package envelope

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// FuzzDecode holds the decoder against the second reading of reference_test.go:
// the same bytes are refused for the same reason, and of the others both make
// the same columns, misfits and unknown attributes.
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
	f.Fuzz(func(t *testing.T, value []byte) { bothReadings(t, d, value) })
}

// The same on inputs that know the grammar: events of odd values, some of them
// then broken. The seed is fixed, so a failure comes back.
func TestBothReadings(t *testing.T) {
	d := NewDecoder(DefaultLimits)
	g := generator{rand.New(rand.NewPCG(1, 2))}
	accepted := 0
	for range 20_000 {
		if bothReadings(t, d, g.event()) {
			accepted++
		}
	}
	require.Greater(t, accepted, 5_000, "the generator makes too few events that are accepted")
}

// bothReadings reports whether value is an event.
func bothReadings(t *testing.T, d *Decoder, value []byte) bool {
	before := bytes.Clone(value)
	events, err := d.Decode(&Record{Value: value, Headers: []Header{{"content-type", []byte(structuredType)}}, Timestamp: -1})
	require.True(t, bytes.Equal(before, value), "the record was written to")
	var inv *Invalid
	if errors.As(err, &inv) {
		require.True(t, utf8.ValidString(inv.Text) && len(inv.Text) < 300 && !strings.Contains(inv.Text, "\n"), "%q", inv.Text)
	}
	if len(value) == 0 {
		require.Equal(t, NoEvents, inv.Class)
		return false
	}
	if want := slowSyntax(value); want != "" {
		require.NotNil(t, inv, "accepted %q, which is %s", value, want)
		// Too deep shows before what is wrong after it.
		early := inv.Class == TooDeep && want == NotJSON && depthOf(value) > maxDepth
		if inv.Class != want && !early {
			t.Fatalf("%q is %s, the decoder says %s", value, want, inv.Class)
		}
		return false
	}
	want, class, attr := slowRead(t, value, true)
	if class != "" {
		require.NotNil(t, inv, "accepted %q, which is %s of %s", value, class, attr)
		require.Equal(t, Invalid{class, attr, inv.Text}, *inv, "%q", value)
		return false
	}
	require.NoError(t, err, "%q", value)
	require.Equal(t, string(value), string(events[0].Payload))
	requireEvent(t, want, &events[0], value)
	return true
}

func requireEvent(t *testing.T, want *slowEvent, ev *Event, value []byte) {
	have := map[string]any{}
	for _, id := range ev.Present() {
		v := ev.Value(id)
		switch name := Columns[id].Name; Columns[id].Kind {
		case Text:
			have[name] = string(v.Text)
		case TextList:
			list := []string{}
			for _, s := range v.List {
				list = append(list, string(s))
			}
			have[name] = list
		case Double, Seconds:
			have[name] = v.Float
		default:
			have[name] = v.Int
		}
	}
	require.Equal(t, want.columns, have, "%q", value)
	for name, v := range want.columns { // Equal takes -0 for 0
		if f, ok := v.(float64); ok {
			require.Equal(t, math.Float64bits(f), math.Float64bits(have[name].(float64)), "%s of %q", name, value)
		}
	}
	misfits := []string{}
	for _, m := range ev.Misfits {
		misfits = append(misfits, string(m))
	}
	require.ElementsMatch(t, want.misfits, misfits, "%q", value)
	require.Equal(t, want.unknown, ev.Unknown, "%q", value)
}

// FuzzDecodeBinary: whatever is in headers and value, nothing panics, and a
// payload that was made is a valid structured event: the attributes in order of
// name, then the value's bytes as they are or in base64.
func FuzzDecodeBinary(f *testing.F) {
	f.Add("1", "/a", "agent.prompt", "2026-01-31T12:00:00Z", "tenant", "x", "application/json", []byte(`{"gen_ai.tool.name":"a"}`))
	f.Add("1", "/a", "agent.prompt", "2026-01-31T12:00:00Z", "id", "x", "", []byte(`{},"id":"2"`))
	f.Add("1", "/a", "agent.prompt", "2026-01-31T12:00:00Z", "data", "x", "text/plain", []byte("\xff"))
	f.Add("1", "/a", "agent.prompt", "2026-01-31T12:00:00Z", "ten\n\"ant", "\x00%20\\", "", []byte("[1e400]"))
	d, again := NewDecoder(DefaultLimits), NewDecoder(DefaultLimits)
	f.Fuzz(func(t *testing.T, id, source, typ, when, name, attr, contentType string, value []byte) {
		r := record(string(value), "ce_specversion", "1.0", "ce_id", id, "ce_source", source, "ce_type", typ, "ce_time", when, "ce_"+name, attr)
		if contentType != "" {
			r.Headers = append(r.Headers, Header{"content-type", []byte(contentType)})
		}
		r.Timestamp = -1
		events, err := d.Decode(r)
		if err != nil || isStructured(nil, mediaTypeOf([]byte(contentType))) {
			return
		}
		payload := bytes.Clone(events[0].Payload)
		require.True(t, bothReadings(t, again, payload), "%q", payload)
		requireBinaryPayload(t, r, payload)
	})
}

func requireBinaryPayload(t *testing.T, r *Record, payload []byte) {
	want := []member{}
	for _, h := range r.Headers {
		switch name, isCE := strings.CutPrefix(h.Key, "ce_"); {
		case isCE && name != "":
			want = append(want, member{name, string(h.Value)})
		case h.Key == "content-type":
			want = append(want, member{"datacontenttype", string(h.Value)})
		}
	}
	slices.SortStableFunc(want, func(a, b member) int { return strings.Compare(a.key, b.key) })
	have := slowTree(t, payload).([]member)
	require.Equal(t, want, have[:len(want)], "%q", payload)
	if len(r.Value) == 0 {
		require.Len(t, have, len(want))
		return
	}
	require.Len(t, have, len(want)+1)
	if have[len(want)].key == "data" {
		require.True(t, bytes.HasSuffix(payload, slices.Concat([]byte(`,"data":`), r.Value, []byte("}"))), "%q", payload)
		return
	}
	require.Equal(t, member{"data_base64", base64.StdEncoding.EncodeToString(r.Value)}, have[len(want)])
}

// generator makes events out of odd parts.
type generator struct{ *rand.Rand }

var (
	oddNumbers = strings.Fields(`0 -0 1 -1 12 12.0 12.5 1e3 1E+3 1e-3 1000e-3 1e400 -1e400 1e-400 1e999999999999 0e999999999999 1e-999999999999
		9223372036854775807 9223372036854775808 -9223372036854775808 -9223372036854775809 922337203685477580.7e1 18446744073709551616
		1.0000000005 1.0000000015 2.00000000250 -1.0000000005 -1.0000000015 0.00000000050000000001 5e-10 6e-10 15e-10 -4e-10
		999999999.999999999 999999999.9999999994 999999999.9999999995 -999999999.9999999995 1000000000 123456789012345678e-9
		4.9e-324 2.4e-324 1.7976931348623157e308 1.7976931348623159e308 1.79e305 1.8e305 1.001 0.412 9007199254740993 0.15e2 150e-2 1e00003`)
	oddStrings = []string{"", "0007", "-0007", "00", "-00", "007.0", "0x10", " 12", "12 ", "+1", "1.", ".5", "1e", "-", "--3", "NaN", "inf", "1_000", "٣", "1,5",
		"x\x00y", "\x00", "é😀", "\"\\/\b\f\n\r\t\x1f", "\x7f\ufffd\uffff", "null", "[]", "a long string, longer than eight bytes at a time"}
	oddTimes = strings.Fields(`2026-01-31T12:00:00Z 2026-01-31t12:00:00z 2026-01-31T12:00:00.123456789Z 2026-01-31T12:00:60Z 2026-01-31T23:59:60.7Z
		2026-01-31T12:00:61Z 2026-01-31T24:00:00Z 2026-01-31T12:60:00Z 2026-01-31T12:00:00+23:59 2026-01-31T12:00:00-23:59 2026-01-31T12:00:00+24:00
		2026-01-31T12:00:00+01:60 2026-01-31T12:00:00+0100 2026-01-31T12:00:00 2026-01-31T12:00:00,5Z 2026-01-31T12:00:00.Z 2026-02-29T12:00:00Z
		2024-02-29T12:00:00Z 2000-02-29T12:00:00Z 1900-02-29T12:00:00Z 0000-01-01T00:00:00+23:59 0000-02-29T00:00:00Z 9999-12-31T23:59:60Z
		1969-12-31T23:59:59.9999999Z 2026-13-01T00:00:00Z 2026-00-01T00:00:00Z 2026-01-00T00:00:00Z 2026-04-31T00:00:00Z 2026-01-31T12:00:00.5-00:00 20260131T120000Z`)
	oddTraces = strings.Fields(`00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x
		cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-
		ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 00-00000000000000000000000000000000-b7ad6b7169203331-01
		00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01 00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
		0g-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g 00-0af7651916cd43dd8448eb211c80319c`)
	oddTypes = []string{"agent.prompt", "com.acme.agent.tool_call.v2", "agent.agent.v2", "agent.v2", "agent.", "agent", "agents.prompt", "agent.Prompt",
		"agent.prompt.v", "agent.prompt.v2.v3", ".agent.x", "agent." + strings.Repeat("a", 64), "agent." + strings.Repeat("a", 65), "agent.a b", "agent.x-1_\n"}
	oddValues = []string{"true", "false", "null", "{}", "[]", `["a","\u0062"]`, `["a",1]`, "[null]", "[[]]", `[ "a" , "" ]`, `{"id":"x"}`}
)

func pick[T any](g *generator, of []T) T { return of[g.IntN(len(of))] }

// quoted writes a string as JSON, now and then with an escape that need not be.
func (g *generator) quoted(s string) string {
	if len(s) > 0 && s[0] < utf8.RuneSelf && g.IntN(8) == 0 {
		rest, _ := json.Marshal(s[1:]) // a string: cannot fail
		return fmt.Sprintf(`"\u%04X%s`, s[0], rest[1:])
	}
	raw, _ := json.Marshal(s)
	return string(raw)
}

func (g *generator) value() string {
	switch g.IntN(6) {
	case 0, 1:
		return pick(g, oddNumbers)
	case 2:
		return `"` + pick(g, oddNumbers) + `"`
	case 3:
		return g.quoted(pick(g, slices.Concat(oddTimes, oddTraces)))
	case 4:
		return pick(g, oddValues)
	}
	return g.quoted(pick(g, oddStrings))
}

// object makes an object of required members and some of the given keys.
func (g *generator) object(members []string, keys []string, most int) string {
	for range g.IntN(most) {
		members = append(members, g.quoted(pick(g, keys))+pick(g, []string{":", " : ", ":\n\t"})+g.value())
	}
	g.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	return "{" + strings.Join(members, pick(g, []string{",", " ,\r\n"})) + "}"
}

func (g *generator) event() []byte {
	top, data := []string{"x", "Tenant", "data_base64", ""}, []string{"x", "id", "gen_ai.input.messages", "a\x00"}
	for _, c := range Columns {
		if c.Context != "" && !slices.Contains([]string{"id", "source", "type", "time"}, c.Context) || g.IntN(100) == 0 {
			top = append(top, c.Context)
		}
		if c.Data != "" {
			data = append(data, c.Data)
		}
	}
	when := "2026-01-31T12:00:00Z"
	if g.IntN(4) == 0 {
		when = pick(g, oddTimes)
	}
	members := []string{`"specversion":"1.0"`, `"id":"1"`, `"source":"/a"`, `"type":` + g.quoted(pick(g, oddTypes)), `"time":"` + when + `"`}
	switch g.IntN(24) {
	case 0:
		members = slices.Delete(members, 0, 1+g.IntN(4))
	case 1:
		i := g.IntN(len(members))
		key, _, _ := strings.Cut(members[i], ":")
		members[i] = key + ":" + pick(g, []string{"null", `""`, "7", "[]", `"1.0 "`, `"\u0000"`})
	case 2:
		members = append(members, `"deep":`+strings.Repeat("[", 125+g.IntN(5))+strings.Repeat("]", 127))
	}
	members = append(members, `"data":`+g.object(nil, data, 8))
	raw := []byte(g.object(members, top, 5))
	if g.IntN(4) == 0 {
		raw = g.broken(raw)
	}
	return raw
}

// broken changes a few bytes.
func (g *generator) broken(raw []byte) []byte {
	parts := []string{"", "", "{", "}", "[", "]", ",", ":", `"`, `\`, "0", "1", ".", "e", "-", "n", "\x00", "\x1f", "\x80", "\xff", "\xc0\x80", "\xed\xa0\x80",
		"\xef\xbb\xbf", `\ud800`, `\udc00`, `\ud83d\ude00`, `\ud800\u0041`, `\u12`, `\q`, " "}
	for range 1 + g.IntN(3) {
		i := g.IntN(len(raw) + 1)
		raw = slices.Concat(raw[:i], []byte(pick(g, parts)), raw[min(len(raw), i+g.IntN(2)):])
	}
	return raw
}
