package envelope

import (
	"bufio"
	"bytes"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var testTime = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func record(value string, headers ...string) *Record {
	r := &Record{Value: []byte(value), Timestamp: testTime.UnixMilli()}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Headers = append(r.Headers, Header{Key: headers[i], Value: []byte(headers[i+1])})
	}
	return r
}

const base = `"specversion":"1.0","id":"1","source":"/a","type":"agent.prompt","time":"2026-01-31T12:00:00Z"`

// Every dead-letter class, each by several ways.
func TestDecodeDeadLetters(t *testing.T) {
	structured := []string{"content-type", "application/cloudevents+json; charset=UTF-8"}
	cases := []struct {
		class   ErrorClass
		attr    string
		value   string
		headers []string
	}{
		{NotUTF8, "", "{" + base + ",\"x\":\"\xff\"}", nil},
		{NotUTF8, "", "\xc3\x28", nil},
		{NotUTF8, "", "{" + base + ",\"x\":\"\xed\xa0\x80\"}", nil},
		{NotUTF8, "", "{" + base + "}\xff", nil},
		{NotUTF8, "id", "{}", []string{"ce_id", "\xff"}},
		{NotUTF8, "", "{}", []string{"ce_\xff", "1"}},
		{NotUTF8, "", "{}", []string{"ce_x\xff", "1", "ce_x", "\xff"}},
		{NotUTF8, "data", "\xff", []string{"ce_id", "1"}},
		{NotJSON, "", "hello", nil},
		{NotJSON, "", "tru", nil},
		{NotJSON, "", "-", nil},
		{NotJSON, "", `{"a":f`, nil},
		{NotJSON, "", `{"a":nul}`, nil},
		{NotJSON, "", `{"a"`, nil},
		{NotJSON, "", `{"a":`, nil},
		{NotJSON, "", "{,}", nil},
		{NotJSON, "", "[,]", nil},
		{NotJSON, "", "[1", nil},
		{NotJSON, "", "{" + base + `,"x":{,"y":1}`, nil},
		{NotJSON, "", "{" + base + `,"x":{"a"}`, nil},
		{NotJSON, "", "{" + base + `,"x":{"a":}`, nil},
		{NotJSON, "", "{" + base + `,"x":[1}`, nil},
		{NotJSON, "", "{" + base + `,"x":[}`, nil},
		{NotJSON, "", "{" + base + `,"x":[,"y":1}`, nil},
		{NotJSON, "", "{" + base + `,"data":{,"y":1}`, nil},
		{NotJSON, "", "{" + base + `,"data":{"a"}`, nil},
		{NotJSON, "", "]", nil},
		{NotJSON, "", "{" + base, nil},
		{NotJSON, "", "{" + base + "} x", nil},
		{NotJSON, "", "{" + base + "}{}", nil},
		{NotJSON, "", "{" + base + ",}", nil},
		{NotJSON, "", "{" + base + `,"x":[1,]}`, nil},
		{NotJSON, "", "{" + base + `,"x":01}`, nil},
		{NotJSON, "", "{" + base + `,"x":1.}`, nil},
		{NotJSON, "", "{" + base + `,"x":.5}`, nil},
		{NotJSON, "", "{" + base + `,"x":1e}`, nil},
		{NotJSON, "", "{" + base + `,"x":+1}`, nil},
		{NotJSON, "", "{" + base + `,"x":-}`, nil},
		{NotJSON, "", "{" + base + `,"x":NaN}`, nil},
		{NotJSON, "", "{" + base + `,"x":nul}`, nil},
		{NotJSON, "", "{" + base + `,"x":True}`, nil},
		{NotJSON, "", "{" + base + `,"x":'a'}`, nil},
		{NotJSON, "", "{" + base + `,x:1}`, nil},
		{NotJSON, "", "{" + base + `,"x" 1}`, nil},
		{NotJSON, "", "{" + base + `,"x":"a` + "\n" + `"}`, nil},
		{NotJSON, "", "{" + base + `,"x":"\q"}`, nil},
		{NotJSON, "", "{" + base + `,"x":"\u12g4"}`, nil},
		{NotJSON, "", "{" + base + `,"x":"\ud800"}`, nil},
		{NotJSON, "", "{" + base + `,"x":"\udc00\ud800"}`, nil},
		{NotJSON, "", "{" + base + `,"x":"\ud800\u0041"}`, nil},
		{NotJSON, "", "{" + base + `,"\ud800":1}`, nil},
		{NotJSON, "", "{" + base + `,"x":"a`, nil},
		{NotJSON, "", "{" + base + `,"x":"a\`, nil},
		{NotJSON, "", "\xef\xbb\xbf{" + base + "}", nil},
		{NotJSON, "", "\xef\xbb\xbf1", []string{"ce_id", "1"}},
		{NotJSON, "", "{" + base + "}\x00", nil},
		{NotJSON, "", "{" + base + "}\xef\xbb\xbf", nil},
		{NotJSON, "", "{" + base + ",\"x\":\"a\x00\"}", nil},
		{NotJSON, "", "{" + base + ",\"a\x1fb\":1}", nil},
		{NotJSON, "", "{" + base + ",\"x\":\x0c1}", nil},
		{NotJSON, "", "{" + base + `,"x":"\udc00"}`, nil},
		{NotJSON, "", "{" + base + `,"x":"\ud800\ud800"}`, nil},
		{NotJSON, "", "{" + base + `,"x":"\ud83d\u"}`, nil},
		{NotJSON, "", "{" + base + `,"x":[[1 2]]}`, nil},
		{NotJSON, "", "{" + base + `,"x":{"a":1 "b":2}}`, nil},
		{NotJSON, "", " ", nil},
		{NotJSON, "", `{"a":1},"id":"2"`, []string{"ce_id", "1", "content-type", "application/json"}},
		{NotJSON, "", `1,"id":"2"`, []string{"ce_specversion", "1.0"}},
		{NotObject, "", "[1]", nil},
		{NotObject, "", `"a"`, nil},
		{NotObject, "", "null", structured},
		{NotObject, "", "12", nil},
		{TooDeep, "", strings.Repeat("[", 4000), nil},
		{TooLarge, "", strings.Repeat("\xff", 4097), []string{"content-type", "application/x-protobuf"}},
		{Missing, "specversion", `{"id":"1"}`, structured},
		{Missing, "specversion", `{"specversion":null}`, nil},
		{Missing, "id", strings.Replace("{"+base+"}", `"id":"1",`, "", 1), nil},
		{Missing, "source", strings.Replace("{"+base+"}", `"source":"/a"`, `"source":null`, 1), nil},
		{Missing, "type", strings.Replace("{"+base+"}", `"type"`, `"typ"`, 1), nil},
		{Missing, "time", strings.Replace("{"+base+"}", `"time"`, `"Time"`, 1), nil},
		{Missing, "specversion", "{}", []string{"ce_id", "1"}},
		{Missing, "source", "{}", []string{"ce_specversion", "1.0", "ce_id", "1", "ce_type", "agent.prompt"}},
		{Empty, "id", strings.Replace("{"+base+"}", `"id":"1"`, `"id":""`, 1), nil},
		{Empty, "source", strings.Replace("{"+base+"}", `"/a"`, `""`, 1), nil},
		{Empty, "time", strings.Replace("{"+base+"}", `"2026-01-31T12:00:00Z"`, `""`, 1), nil},
		{WrongType, "id", strings.Replace("{"+base+"}", `"id":"1"`, `"id":1`, 1), nil},
		{WrongType, "type", strings.Replace("{"+base+"}", `"agent.prompt"`, `["agent.prompt"]`, 1), nil},
		{WrongType, "specversion", strings.Replace("{"+base+"}", `"1.0"`, `1.0`, 1), nil},
		{DuplicateKey, "id", "{" + base + `,"id":"1"}`, nil},
		{DuplicateKey, "id", "{" + base + `,"\u0069d":"2"}`, nil},
		{DuplicateKey, "specversion", "{" + base + `,"specversion":"1.0"}`, nil},
		{DuplicateKey, "tenant", "{" + base + `,"tenant":"a","tenant":"b"}`, nil},
		{DuplicateKey, "data", "{" + base + `,"data":{},"data":{}}`, nil},
		{DuplicateKey, "gen_ai.tool.name", "{" + base + `,"data":{"gen_ai.tool.name":"a","gen_ai.tool.name":"a"}}`, nil},
		{DuplicateKey, "gen_ai.agent.id", "{" + base + `,"data":{"gen_ai.agent.id":"a","gen_ai.\u0061gent.id":null}}`, nil},
		{DuplicateKey, "traceparent", "{" + base + `,"traceparent":null,"traceparent":null}`, nil},
		{DuplicateKey, "tenant", `{"specversion":"0.3","id":1,"tenant":"a","tenant":"a"}`, nil}, // before what else is wrong
		{DuplicateKey, "id", "{}", []string{"ce_specversion", "1.0", "ce_id", "1", "ce_id", "2"}},
		{DuplicateKey, "datacontenttype", "{}", []string{"ce_datacontenttype", "a/b", "content-type", "application/json"}},
		{DuplicateKey, "data", "{}", []string{"ce_specversion", "1.0", "ce_data", "1"}},
		{BadTime, "time", strings.Replace("{"+base+"}", "2026-01-31T12:00:00Z", "2026-01-31", 1), nil},
		{BadTime, "time", strings.Replace("{"+base+"}", "2026-01-31T", "2026-02-30T", 1), nil},
		{BadTime, "time", strings.Replace("{"+base+"}", "31T12", "31 12", 1), nil},
		{BadTime, "time", strings.Replace("{"+base+"}", "00:00Z", "00:00", 1), nil},
		{TimeOutOfRange, "time", strings.Replace("{"+base+"}", "2026-01-31T12:00:00Z", "2026-02-01T12:00:00.001Z", 1), nil},
		{TimeOutOfRange, "time", strings.Replace("{"+base+"}", "2026-01", "2020-01", 1), nil},
		{UnsupportedSpecVersion, "specversion", strings.Replace("{"+base+"}", `"1.0"`, `"0.3"`, 1), nil},
		{UnsupportedSpecVersion, "specversion", strings.Replace("{"+base+"}", `"1.0"`, `"1.0 "`, 1), nil},
		{UnsupportedSpecVersion, "specversion", `{"specversion":"2.0"}`, nil}, // before what is missing
		{UnknownFormat, "", `{"id":"1"}`, nil},
		{UnknownFormat, "", "{}", nil},
		{UnknownFormat, "", "\x00\x01\x02\x03\x04a", nil},
		{UnknownFormat, "content-type", "{" + base + "}", []string{"Content-Type", "application/x-protobuf"}},
		{UnknownFormat, "", "\x00\x00\x00\x00\x07abc", []string{"content-type", "application/x-protobuf"}},
		{UnknownFormat, "content-type", "{}", []string{"content-type", "\xff\xfe"}},
		{UnknownFormat, "content-type", "[{" + base + "}]", []string{"content-type", "application/cloudevents-batch+json"}},
		{NotJSON, "", "\x00\x00\x00\x00\x07abc", structured},
		{NotJSON, "", "\x00\x00\x00\x00\x07", nil},
		{NoEvents, "", "", nil},
		{NoEvents, "", "", structured},
		{NoEvents, "", "", []string{"content-type", "application/x-protobuf"}},
	}
	limits := DefaultLimits
	limits.MaxEventBytes = 4096
	seen := map[ErrorClass]bool{}
	for _, tc := range cases {
		_, err := NewDecoder(limits).Decode(record(tc.value, tc.headers...))
		requireInvalid(t, err, tc.class, tc.attr, tc.value)
		seen[tc.class] = true
	}
	for _, c := range ErrorClasses {
		require.True(t, seen[c.Class], "no case for %s", c.Class)
	}
}

// A record without a value, whatever Kafka calls it.
func TestDecodeTombstone(t *testing.T) {
	for _, value := range [][]byte{nil, {}} {
		_, err := NewDecoder(DefaultLimits).Decode(&Record{Value: value})
		requireInvalid(t, err, NoEvents, "", "")
	}
}

// Each limit takes what is exactly at it, and nothing past it.
func TestDecodeLimits(t *testing.T) {
	deep := func(open, shut string, n int) string { return strings.Repeat(open, n) + "1" + strings.Repeat(shut, n) }
	event := "{" + base + `,"data":[%]}`
	at := func(micros int64) string {
		return strings.Replace("{"+base+"}", "2026-01-31T12:00:00Z", time.UnixMicro(micros).UTC().Format(time.RFC3339Nano), 1)
	}
	binary := []string{"ce_specversion", "1.0", "ce_id", "1", "ce_source", "/a", "ce_type", "agent.prompt", "ce_time", "2026-01-31T12:00:00Z"}
	early := testTime.Add(-DefaultLimits.MaxEventAge).UnixMicro()
	late := testTime.Add(DefaultLimits.MaxClockSkew).UnixMicro()
	size := len("{"+base+"}") + len(`,"data":"aaaa"`) // of the binary event
	cases := []struct {
		class   ErrorClass // of what is past the limit
		in, out string
		headers []string
		max     int
	}{
		{TooDeep, strings.Replace(event, "%", deep("[", "]", 126), 1), strings.Replace(event, "%", deep("[", "]", 127), 1), nil, 1 << 20},
		{TooDeep, strings.Replace(event, "[%]", deep(`{"a":`, "}", 127), 1), strings.Replace(event, "[%]", deep(`{"a":`, "}", 128), 1), nil, 1 << 20},
		{TooDeep, deep("[", "]", 127), deep("[", "]", 128), binary, 1 << 20},
		{TooLarge, "{" + base + "}", "{" + base + "} ", nil, len("{" + base + "}")},
		{TooLarge, `"aaaa"`, `"aaaaa"`, binary, size},
		{TimeOutOfRange, at(early), at(early - 1), nil, 1 << 20},
		{TimeOutOfRange, at(late), at(late + 1), nil, 1 << 20},
	}
	for _, tc := range cases {
		limits := DefaultLimits
		limits.MaxEventBytes = tc.max
		_, err := NewDecoder(limits).Decode(record(tc.in, tc.headers...))
		require.NoError(t, err, tc.in)
		_, err = NewDecoder(limits).Decode(record(tc.out, tc.headers...))
		requireInvalid(t, err, tc.class, map[ErrorClass]string{TimeOutOfRange: "time"}[tc.class], tc.out)
	}
}

func TestDefaultLimits(t *testing.T) {
	require.Equal(t, Limits{MaxEventBytes: 16_777_216, MaxEventAge: 43_800 * time.Hour, MaxClockSkew: 24 * time.Hour}, DefaultLimits)
}

// A Kafka timestamp is what a producer wrote, so it may be anything.
func TestDecodeOddTimestamps(t *testing.T) {
	for timestamp, ok := range map[int64]bool{-1: true, math.MinInt64: true, 0: false, math.MaxInt64: false, math.MaxInt64/1000 + 1: false} {
		_, err := NewDecoder(DefaultLimits).Decode(&Record{Value: []byte("{" + base + "}"), Timestamp: timestamp})
		require.Equal(t, ok, err == nil, timestamp)
		if !ok {
			requireInvalid(t, err, TimeOutOfRange, "time", "")
		}
	}
}

// The text says which attribute it is and what was found.
func TestInvalidTexts(t *testing.T) {
	structured := []string{"content-type", structuredType}
	long := strings.Repeat("é", 40)
	for _, tc := range []struct {
		value   string
		headers []string
		want    string
	}{
		{"{" + base + ",\"x\":\"\xff\"}", nil, "not UTF-8 at byte 101"},
		{"\uFFFD\xff", structured, "not UTF-8 at byte 3"},
		{`{"a":1}}`, structured, "not JSON at byte 7: something stands after the value"},
		{`{"a":xyz}`, structured, `not JSON at byte 5: no value starts with "x"`},
		{`{"a":`, structured, "not JSON at byte 5: it ends where a value should be"},
		{`{"a":tru}`, structured, "not JSON at byte 5: expected true"},
		{`{"a":-x}`, structured, "not JSON at byte 6: a number without digits"},
		{`{"a":1.}`, structured, "not JSON at byte 7: a number without digits after its point"},
		{`{"a":1e+}`, structured, "not JSON at byte 8: a number without digits in its exponent"},
		{`{"a" 1}`, structured, "not JSON at byte 5: expected : after a key"},
		{`{"a":1;}`, structured, "not JSON at byte 6: expected , or } in an object"},
		{`{"a":1,}`, structured, "not JSON at byte 7: expected a key"},
		{`[1;2]`, structured, "not JSON at byte 2: expected , or ] in an array"},
		{`[1,]`, structured, "not JSON at byte 3: a comma before ]"},
		{`{"a":"123456789`, structured, "not JSON at byte 15: a string without its end"},
		{"{\"a\":\"12345678\t\"}", structured, "not JSON at byte 14: a control character in a string"},
		{"\xef\xbb\xbf{}", structured, "not JSON at byte 0: a byte order mark"},
		{`{"a":"\ud800"}`, structured, "not JSON at byte 6: a wrong escape or half a surrogate pair in a string"},
		{"[]", structured, "a JSON object was expected, found an array"},
		{`{"specversion":"1.0"}`, structured, "id is missing"},
		{`{"specversion":null}`, structured, "specversion is null"},
		{`{"specversion":"1.0","id":""}`, structured, "id is empty"},
		{`{"specversion":"1.0","id":{"a": 1}}`, structured, `id is an object ("{\"a\": 1}"), a string was expected`},
		{`{"specversion":"0.3"}`, structured, `specversion is "0.3", only "1.0" is supported`},
		{`{"data":{"audit.status":1,"audit.status":1}}`, structured, "audit.status stands twice"},
		{strings.Replace("{"+base+"}", "2026-01-31T12:00:00Z", "a"+long, 1), nil,
			`time is "a` + strings.Repeat(`\u00e9`, 23) + `"..., not RFC 3339 such as 2026-01-31T12:00:00Z`},
		{strings.Replace("{"+base+"}", "2026-01-31", "2026-02-02", 1), nil,
			"time is 2026-02-02T12:00:00Z, Kafka's timestamp 2026-01-31T12:00:00Z: more than 1825d before it or 1d after it"},
		{"{}", []string{"ce_id", "\xff\n"}, `header "ce_id" is "\xff\n", which is not UTF-8`},
		{"{}", []string{"ce_\xff", "1"}, `the key of header "ce_\xff" is not UTF-8`},
		{"\xff", []string{"ce_id", "1"}, "data is not UTF-8 at byte 0"},
		{"1 2", []string{"ce_id", "1"}, "not JSON at byte 2: something stands after the value"},
		{"{}", []string{"content-type", "Text/Plain; a=b"}, `content-type "text/plain" is none that this release reads: use application/cloudevents+json`},
		{"{}", nil, "a JSON object without specversion, and no header says that it is a CloudEvent"},
	} {
		_, err := NewDecoder(DefaultLimits).Decode(record(tc.value, tc.headers...))
		require.EqualError(t, err, tc.want)
	}
	require.Equal(t, "36h0m0s", inDays(36*time.Hour))
	require.Equal(t, "0s", inDays(0))
}

func TestExcerpt(t *testing.T) {
	at := strings.Repeat("a", 48)
	require.Equal(t, `"`+at+`"`, excerpt([]byte(at)))
	require.Equal(t, `"`+at+`"...`, excerpt([]byte(at+"b")))
	require.Equal(t, `"`+at[1:]+`"...`, excerpt([]byte(at[1:]+"é")))
	require.Equal(t, `""...`, excerpt(bytes.Repeat([]byte{0x80}, 49)))
}

func requireInvalid(t *testing.T, err error, class ErrorClass, attr, value string) {
	t.Helper()
	if len(value) > 200 {
		value = value[:200]
	}
	var inv *Invalid
	require.ErrorAs(t, err, &inv, "%q", value)
	require.Equal(t, class, inv.Class, "%q: %s", value, inv.Text)
	require.Equal(t, attr, inv.Attr, "%q: %s", value, inv.Text)
	require.NotEmpty(t, inv.Text)
	require.Less(t, len(inv.Text), 300)
}

// A context attribute wins over its fallback in data, wherever it stands; one
// that does not fit leaves the column NULL.
func TestDecodeFallbacks(t *testing.T) {
	for value, want := range map[string]string{
		`"sessionid":"a","data":{"gen_ai.conversation.id":"b"}`:  "a",
		`"data":{"gen_ai.conversation.id":"b"},"sessionid":"a"`:  "a",
		`"data":{"gen_ai.conversation.id":"b"}`:                  "b",
		`"sessionid":null,"data":{"gen_ai.conversation.id":"b"}`: "b",
		`"sessionid":"","data":{"gen_ai.conversation.id":"b"}`:   "",
		`"sessionid":"a","data":{"gen_ai.conversation.id":[]}`:   "a",
		`"sessionid":[],"data":{"gen_ai.conversation.id":"b"}`:   "misfit",
		`"data":{"gen_ai.conversation.id":"b"},"sessionid":[]`:   "misfit",
		`"data":{"gen_ai.conversation.id":{}}`:                   "misfit",
		`"data":{"gen_ai.conversation.id":null}`:                 "absent",
	} {
		events, err := NewDecoder(DefaultLimits).Decode(record("{" + base + "," + value + "}"))
		require.NoError(t, err)
		require.Equal(t, want == "misfit", len(events[0].Misfits) == 1, value)
		if want == "misfit" || want == "absent" {
			require.False(t, events[0].Has(ColSessionID), value)
			continue
		}
		require.True(t, events[0].Has(ColSessionID), value)
		require.Equal(t, want, string(events[0].Value(ColSessionID).Text), value)
	}
}

func TestDecodeClass(t *testing.T) {
	long := strings.Repeat("a", 64)
	for typ, want := range map[string]string{
		"agent.prompt": "prompt", "com.acme.agent.tool_call.v2": "tool_call", "agent.x-1.v10": "x-1", "agent.agent.v2": "agent",
		"agent.v2": "v2", "agent." + long: long, "agent." + long + "a": "other", "agent.": "other", "agent": "other", "prompt": "other",
		"agents.prompt": "other", "myagent.prompt": "other", "agent.Prompt": "other", "agent.prompt.v": "other", "agent.prompt.x2": "other",
		"agent.az_09-": "az_09-", "agent.prompt.v09": "prompt", "agent.prompt.vx2": "other", "agent.prompt.v2x": "other", "v2": "other", "": "other",
		"agent.{": "other", "agent.`": "other", "agent.:": "other", "agent./": "other", "agent.prompt.v:": "other", "agent.prompt.v/": "other",
		"agent.prompt.v2.v3": "other", "x.agent.prompt": "prompt", ".agent.prompt": "prompt", "agent.a b": "other",
	} {
		require.Equal(t, want, string(classOf([]byte(typ))), typ)
	}
}

func TestDecodeData(t *testing.T) {
	for _, data := range []string{"", `,"data":null`, `,"data":"x"`, `,"data":[{"gen_ai.tool.name":"a"}]`, `,"data":7`, `,"data_base64":"AAEC"`,
		`,"data":{"nested":{"gen_ai.tool.name":"a"}}`} {
		events, err := NewDecoder(DefaultLimits).Decode(record("{" + base + data + "}"))
		require.NoError(t, err)
		require.False(t, events[0].Has(ColToolName), data)
		require.Empty(t, events[0].Misfits)
	}
	events, err := NewDecoder(DefaultLimits).Decode(record("{" + base + `,"x":1,"data":{"y":2,"gen_ai.input.messages":[],"gen_ai.tool.name":"a"}}`))
	require.NoError(t, err)
	require.Equal(t, 2, events[0].Unknown)
	require.Equal(t, "a", string(events[0].Value(ColToolName).Text))
}

// A decoder that failed goes on as if nothing had been.
func TestDecodeReuse(t *testing.T) {
	d := NewDecoder(DefaultLimits)
	for range 3 {
		_, err := d.Decode(record("{" + base + `,"tenant":"x","x":1,"data":{"gen_ai.tool.name":[]},"a":`))
		require.Error(t, err)
		events, err := d.Decode(record("{" + base + "}"))
		require.NoError(t, err)
		require.Len(t, events[0].Present(), 5)
		require.Zero(t, events[0].Index)
		require.Zero(t, events[0].Unknown)
		require.Empty(t, events[0].Misfits)
	}
	// Nothing holds on to the record before: it may be a fetch of many megabytes.
	for _, value := range []string{`,"tenant":"x","data":{"gen_ai.response.finish_reasons":["a"]}}`, "}"} {
		events, err := d.Decode(record("{" + base + value))
		require.NoError(t, err)
		if value == "}" {
			require.Equal(t, Value{}, *events[0].Value(ColTenant))
			require.Equal(t, Value{}, *events[0].Value(ColFinishReasons))
		}
	}
	_, err := d.Decode(&Record{Value: []byte("{" + base + "}"), Timestamp: -1})
	require.NoError(t, err, "a record without a timestamp is not judged by it")
}

// Runs of a real agent: 200 sessions of tau-bench's airline task.
func TestDecodeRealRuns(t *testing.T) {
	path := os.Getenv("AUDITLAKE_AIRLINE_RUNS")
	if path == "" {
		t.Skip("left out, the real agent runs: $AUDITLAKE_AIRLINE_RUNS names no file, testdata/README.md says what it is")
	}
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	d := NewDecoder(DefaultLimits)
	classes := map[string]int{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		events, err := d.Decode(&Record{Value: lines.Bytes(), Timestamp: -1})
		require.NoError(t, err)
		require.Empty(t, events[0].Misfits)
		classes[string(events[0].Class())]++
	}
	require.NoError(t, lines.Err())
	require.Equal(t, map[string]int{"prompt": 1490, "input": 200, "output": 2454, "tool_call": 1164, "context_retrieval": 678, "action": 298, "evaluation": 200}, classes)
}
