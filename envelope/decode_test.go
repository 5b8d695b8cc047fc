package envelope

import (
	"bufio"
	"errors"
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
		{NotUTF8, "", "{}", []string{"ce_id", "\xff"}},
		{NotUTF8, "data", "\xff", []string{"ce_id", "1"}},
		{NotJSON, "", "hello", nil},
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
		{NotJSON, "", "{" + base + "}\x00", nil},
		{NotJSON, "", " ", nil},
		{NotJSON, "", `{"a":1},"id":"2"`, []string{"ce_id", "1", "content-type", "application/json"}},
		{NotJSON, "", `1,"id":"2"`, []string{"ce_specversion", "1.0"}},
		{NotObject, "", "[1]", nil},
		{NotObject, "", `"a"`, nil},
		{NotObject, "", "null", structured},
		{NotObject, "", "12", nil},
		{TooDeep, "", "{" + base + `,"x":` + strings.Repeat("[", 128) + strings.Repeat("]", 128) + "}", nil},
		{TooDeep, "", strings.Repeat(`{"a":`, 129) + "1" + strings.Repeat("}", 129), nil},
		{TooDeep, "", strings.Repeat("[", 100_000), nil},
		{TooDeep, "", strings.Repeat("[", 128) + strings.Repeat("]", 128), []string{"ce_id", "1"}},
		{TooLarge, "", "{" + base + `,"x":"` + strings.Repeat("a", 5000) + `"}`, nil},
		{TooLarge, "", `"` + strings.Repeat("a", 4090) + `"`, []string{"ce_id", "1"}},
		{Missing, "specversion", `{"id":"1"}`, structured},
		{Missing, "specversion", `{"specversion":null}`, nil},
		{Missing, "id", strings.Replace("{"+base+"}", `"id":"1",`, "", 1), nil},
		{Missing, "source", strings.Replace("{"+base+"}", `"source":"/a"`, `"source":null`, 1), nil},
		{Missing, "type", strings.Replace("{"+base+"}", `"type"`, `"typ"`, 1), nil},
		{Missing, "time", strings.Replace("{"+base+"}", `"time"`, `"Time"`, 1), nil},
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
		{DuplicateKey, "id", "{}", []string{"ce_specversion", "1.0", "ce_id", "1", "ce_id", "2"}},
		{BadTime, "time", strings.Replace("{"+base+"}", "2026-01-31T12:00:00Z", "2026-01-31", 1), nil},
		{BadTime, "time", strings.Replace("{"+base+"}", "2026-01-31T", "2026-02-30T", 1), nil},
		{BadTime, "time", strings.Replace("{"+base+"}", "31T12", "31 12", 1), nil},
		{BadTime, "time", strings.Replace("{"+base+"}", "00:00Z", "00:00", 1), nil},
		{TimeOutOfRange, "time", strings.Replace("{"+base+"}", "2026-01-31T12:00:00Z", "2026-02-01T12:00:00.001Z", 1), nil},
		{TimeOutOfRange, "time", strings.Replace("{"+base+"}", "2026-01", "2020-01", 1), nil},
		{UnsupportedSpecVersion, "specversion", strings.Replace("{"+base+"}", `"1.0"`, `"0.3"`, 1), nil},
		{UnsupportedSpecVersion, "specversion", strings.Replace("{"+base+"}", `"1.0"`, `"1.0 "`, 1), nil},
		{UnknownFormat, "", `{"id":"1"}`, nil},
		{UnknownFormat, "", "{}", nil},
		{UnknownFormat, "", "\x00\x00\x00\x00\x07abc", nil},
		{UnknownFormat, "content-type", "{" + base + "}", []string{"Content-Type", "application/x-protobuf"}},
		{UnknownFormat, "content-type", "[{" + base + "}]", []string{"content-type", "application/cloudevents-batch+json"}},
		{NoEvents, "", "", nil},
		{NoEvents, "", "", structured},
		{NoEvents, "", "", []string{"content-type", "application/x-protobuf"}},
	}
	limits := DefaultLimits
	limits.MaxEventBytes = 4096
	seen := map[ErrorClass]bool{}
	for _, tc := range cases {
		r := record(tc.value, tc.headers...)
		if tc.class == TooDeep {
			limits := DefaultLimits
			_, err := NewDecoder(limits).Decode(r)
			requireInvalid(t, err, tc.class, tc.attr, tc.value)
			seen[tc.class] = true
			continue
		}
		_, err := NewDecoder(limits).Decode(r)
		requireInvalid(t, err, tc.class, tc.attr, tc.value)
		seen[tc.class] = true
	}
	for _, c := range ErrorClasses {
		require.True(t, seen[c.Class], "no case for %s", c.Class)
	}
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

// How values meet their columns. want nil is a misfit, absent is no value.
func TestDecodeValues(t *testing.T) {
	type absent struct{}
	huge := strings.Repeat("9", 400)
	cases := []struct {
		attr string // data keys hold a dot
		json string
		col  ColumnID
		want any
	}{
		{"tenant", `"a"`, ColTenant, "a"},
		{"tenant", `""`, ColTenant, ""},
		{"tenant", `"a\u0000b"`, ColTenant, "a\x00b"},
		{"tenant", `"\u00e9\ud83d\ude00\n\"\\\/\b\f\r\t"`, ColTenant, "é😀\n\"\\/\b\f\r\t"},
		{"tenant", `12.50`, ColTenant, "12.50"},
		{"tenant", `true`, ColTenant, "true"},
		{"tenant", `null`, ColTenant, absent{}},
		{"tenant", `{}`, ColTenant, nil},
		{"tenant", `["a"]`, ColTenant, nil},
		{"sequence", `7`, ColSequence, int64(7)},
		{"sequence", `"0007"`, ColSequence, int64(7)},
		{"sequence", `"-3"`, ColSequence, int64(-3)},
		{"sequence", `"-03"`, ColSequence, nil},
		{"sequence", `" 7"`, ColSequence, nil},
		{"sequence", `"9223372036854775807"`, ColSequence, int64(math.MaxInt64)},
		{"sequence", `"00000000000000000000000000000000009223372036854775807"`, ColSequence, int64(math.MaxInt64)},
		{"sequence", `9223372036854775808`, ColSequence, nil},
		{"gen_ai.request.seed", `-9223372036854775808`, ColSeed, int64(math.MinInt64)},
		{"gen_ai.request.seed", `-9223372036854775809`, ColSeed, nil},
		{"gen_ai.request.seed", `"12"`, ColSeed, int64(12)},
		{"gen_ai.request.seed", `"012"`, ColSeed, nil},
		{"gen_ai.request.seed", `12.0`, ColSeed, int64(12)},
		{"gen_ai.request.seed", `1e3`, ColSeed, int64(1000)},
		{"gen_ai.request.seed", `1000e-3`, ColSeed, int64(1)},
		{"gen_ai.request.seed", `12.5`, ColSeed, nil},
		{"gen_ai.request.seed", `1e-1`, ColSeed, nil},
		{"gen_ai.request.seed", `-0`, ColSeed, int64(0)},
		{"gen_ai.request.seed", `0e999999999999`, ColSeed, int64(0)},
		{"gen_ai.request.seed", `1e999999999999`, ColSeed, nil},
		{"gen_ai.request.seed", `0.0000000000000000001e19`, ColSeed, int64(1)},
		{"gen_ai.request.seed", huge, ColSeed, nil},
		{"gen_ai.request.seed", `true`, ColSeed, nil},
		{"gen_ai.request.seed", `"1_000"`, ColSeed, nil},
		{"gen_ai.request.seed", `"0x10"`, ColSeed, nil},
		{"gen_ai.usage.input_tokens", `-1`, ColInputTokens, nil},
		{"gen_ai.usage.input_tokens", `"1e2"`, ColInputTokens, int64(100)},
		{"gen_ai.request.temperature", `0.7`, ColTemperature, 0.7},
		{"gen_ai.request.temperature", `"1.5"`, ColTemperature, 1.5},
		{"gen_ai.request.temperature", `1e400`, ColTemperature, nil},
		{"gen_ai.request.temperature", `"inf"`, ColTemperature, nil},
		{"gen_ai.request.temperature", `"1."`, ColTemperature, nil},
		{"audit.duration_ms", `12`, ColDurationMS, 12.0},
		{"gen_ai.response.time_to_first_chunk", `0.25`, ColTimeToFirstChunkMS, 250.0},
		{"gen_ai.response.time_to_first_chunk", `1e308`, ColTimeToFirstChunkMS, nil},
		{"audit.cost.amount", `0.0042`, ColCostAmount, int64(4_200_000)},
		{"audit.cost.amount", `"1.0000000005"`, ColCostAmount, int64(1_000_000_000)},
		{"audit.cost.amount", `1.0000000015`, ColCostAmount, int64(1_000_000_002)},
		{"audit.cost.amount", `1.00000000150000000000001`, ColCostAmount, int64(1_000_000_002)},
		{"audit.cost.amount", `1.00000000050000000000001`, ColCostAmount, int64(1_000_000_001)},
		{"audit.cost.amount", `-0.0000000005`, ColCostAmount, int64(0)},
		{"audit.cost.amount", `0.0000000006`, ColCostAmount, int64(1)},
		{"audit.cost.amount", `5e-11`, ColCostAmount, int64(0)},
		{"audit.cost.amount", `999999999.999999999`, ColCostAmount, int64(999_999_999_999_999_999)},
		{"audit.cost.amount", `999999999.9999999996`, ColCostAmount, nil},
		{"audit.cost.amount", `1000000000`, ColCostAmount, nil},
		{"audit.cost.amount", `-12e2`, ColCostAmount, int64(-1_200_000_000_000)},
		{"audit.cost.amount", `1e-999999`, ColCostAmount, int64(0)},
		{"audit.approval.at", `"2026-01-31T13:00:00.1234567+01:00"`, ColApprovedAt, testTime.UnixMicro() + 123456},
		{"audit.approval.at", `"2026-01-31t12:00:00z"`, ColApprovedAt, testTime.UnixMicro()},
		{"audit.approval.at", `"2026-01-31T11:59:60Z"`, ColApprovedAt, testTime.UnixMicro()},
		{"audit.approval.at", `"2026-01-31T11:59:60.5Z"`, ColApprovedAt, testTime.UnixMicro()},
		{"audit.approval.at", `"2026-01-31T12:00:00,5Z"`, ColApprovedAt, nil},
		{"audit.approval.at", `"2026-01-31T12:00:00.Z"`, ColApprovedAt, nil},
		{"audit.approval.at", `"2026-01-31T12:00:00+24:00"`, ColApprovedAt, nil},
		{"audit.approval.at", `"2026-01-31T12:00:00+0100"`, ColApprovedAt, nil},
		{"audit.approval.at", `"2025-02-29T12:00:00Z"`, ColApprovedAt, nil},
		{"audit.approval.at", `1769860800`, ColApprovedAt, nil},
		{"gen_ai.response.finish_reasons", `["stop","length"]`, ColFinishReasons, []string{"stop", "length"}},
		{"gen_ai.response.finish_reasons", `[ "st\u006fp" ]`, ColFinishReasons, []string{"stop"}},
		{"gen_ai.response.finish_reasons", `"stop"`, ColFinishReasons, []string{"stop"}},
		{"gen_ai.response.finish_reasons", `[]`, ColFinishReasons, []string{}},
		{"gen_ai.response.finish_reasons", `["stop",1]`, ColFinishReasons, nil},
		{"gen_ai.response.finish_reasons", `[null]`, ColFinishReasons, nil},
		{"gen_ai.response.finish_reasons", `1`, ColFinishReasons, nil},
		{"traceparent", `"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"`, ColTraceID, "0af7651916cd43dd8448eb211c80319c"},
		{"traceparent", `"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"`, ColSpanID, "b7ad6b7169203331"},
		{"traceparent", `"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x"`, ColSpanID, "b7ad6b7169203331"},
		{"traceparent", `"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x"`, ColSpanID, nil},
		{"traceparent", `"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"`, ColSpanID, nil},
		{"traceparent", `"00-00000000000000000000000000000000-b7ad6b7169203331-01"`, ColTraceID, nil},
		{"traceparent", `"00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"`, ColTraceID, nil},
		{"traceparent", `7`, ColTraceID, nil},
		{"gen_ai.conversation.id", `"c"`, ColSessionID, "c"},
		{"gen_ai.agent.version", `3`, ColAgentVersion, "3"},
	}
	d := NewDecoder(DefaultLimits)
	for _, tc := range cases {
		value := "{" + base + `,"` + tc.attr + `":` + tc.json + "}"
		if strings.Contains(tc.attr, ".") {
			value = "{" + base + `,"data":{"` + tc.attr + `":` + tc.json + "}}"
		}
		events, err := d.Decode(record(value))
		require.NoError(t, err, value)
		ev := &events[0]
		require.Equal(t, value, string(ev.Payload))
		switch want := tc.want.(type) {
		case nil:
			require.False(t, ev.Has(tc.col), value)
			require.Equal(t, [][]byte{[]byte(tc.attr)}, ev.Misfits, value)
			continue
		case absent:
			require.False(t, ev.Has(tc.col), value)
		case string:
			require.Equal(t, want, string(ev.Value(tc.col).Text), value)
		case int64:
			require.Equal(t, want, ev.Value(tc.col).Int, value)
		case float64:
			require.Equal(t, want, ev.Value(tc.col).Float, value)
		case []string:
			got := []string{}
			for _, s := range ev.Value(tc.col).List {
				got = append(got, string(s))
			}
			require.Equal(t, want, got, value)
		}
		require.Empty(t, ev.Misfits, value)
		_, isAbsent := tc.want.(absent)
		require.Equal(t, !isAbsent, ev.Has(tc.col), value)
	}
}

// A context attribute wins over its fallback in data, wherever it stands; one
// that does not fit leaves the column NULL.
func TestDecodeFallbacks(t *testing.T) {
	for value, want := range map[string]string{
		`"sessionid":"a","data":{"gen_ai.conversation.id":"b"}`:  "a",
		`"data":{"gen_ai.conversation.id":"b"},"sessionid":"a"`:  "a",
		`"data":{"gen_ai.conversation.id":"b"}`:                  "b",
		`"sessionid":null,"data":{"gen_ai.conversation.id":"b"}`: "b",
		`"sessionid":[],"data":{"gen_ai.conversation.id":"b"}`:   "",
		`"data":{"gen_ai.conversation.id":{}}`:                   "",
	} {
		events, err := NewDecoder(DefaultLimits).Decode(record("{" + base + "," + value + "}"))
		require.NoError(t, err)
		require.Equal(t, want != "", events[0].Has(ColSessionID), value)
		require.Equal(t, want, string(events[0].Value(ColSessionID).Text), value)
		require.Equal(t, want == "", len(events[0].Misfits) == 1, value)
	}
}

func TestDecodeClass(t *testing.T) {
	long := strings.Repeat("a", 64)
	for typ, want := range map[string]string{
		"agent.prompt": "prompt", "com.acme.agent.tool_call.v2": "tool_call", "agent.x-1.v10": "x-1", "agent.agent.v2": "agent",
		"agent.v2": "v2", "agent." + long: long, "agent." + long + "a": "other", "agent.": "other", "agent": "other", "prompt": "other",
		"agents.prompt": "other", "myagent.prompt": "other", "agent.Prompt": "other", "agent.prompt.v": "other", "agent.prompt.x2": "other",
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

// The payload of a binary event is the structured form, to the byte.
func TestDecodeBinary(t *testing.T) {
	headers := []string{"ce_type", "agent.tool_call", "ce_specversion", "1.0", "other", "x", "CE_source", "/a", "ce_id", `q"1`, "ce_time", "2026-01-31T12:00:00Z", "ce_sequence", "7"}
	head := `{%s"id":"q\"1","sequence":"7","source":"/a","specversion":"1.0","time":"2026-01-31T12:00:00Z","type":"agent.tool_call"%s}`
	cases := []struct{ contentType, value, dct, data string }{
		{"", ` {"gen_ai.tool.name":"a"}`, "", `,"data": {"gen_ai.tool.name":"a"}`},
		{"application/json", `{"gen_ai.tool.name":"a"}`, `"datacontenttype":"application/json",`, `,"data":{"gen_ai.tool.name":"a"}`},
		{"application/vnd.x+json; charset=utf-8", `{"gen_ai.tool.name":"a"}`, `"datacontenttype":"application/vnd.x+json; charset=utf-8",`, `,"data":{"gen_ai.tool.name":"a"}`},
		{"text/plain", "hi", `"datacontenttype":"text/plain",`, `,"data_base64":"aGk="`},
		{"application/json", "", `"datacontenttype":"application/json",`, ""},
	}
	for _, tc := range cases {
		h := headers
		if tc.contentType != "" {
			h = append([]string{"content-type", tc.contentType}, headers...)
		}
		events, err := NewDecoder(DefaultLimits).Decode(record(tc.value, h...))
		require.NoError(t, err, tc.contentType)
		want := strings.Replace(strings.Replace(head, "%s", tc.dct, 1), "%s", tc.data, 1)
		require.Equal(t, want, string(events[0].Payload))
		require.EqualValues(t, 7, events[0].Value(ColSequence).Int)
		require.Equal(t, strings.Contains(tc.data, "tool.name"), events[0].Has(ColToolName))
	}
}

// A decoder that failed goes on as if nothing had been.
func TestDecodeReuse(t *testing.T) {
	d := NewDecoder(DefaultLimits)
	for range 3 {
		_, err := d.Decode(record("{" + base + `,"tenant":"x","data":{"gen_ai.tool.name":[]},"a":`))
		require.Error(t, err)
		events, err := d.Decode(record("{" + base + "}"))
		require.NoError(t, err)
		require.Len(t, events[0].Present(), 5)
		require.Empty(t, events[0].Misfits)
	}
	_, err := d.Decode(&Record{Value: []byte("{" + base + "}"), Timestamp: -1})
	require.NoError(t, err, "a record without a timestamp is not judged by it")
}

// Real agent runs, where the file is there: see testdata/README.md.
func TestDecodeRealRuns(t *testing.T) {
	path := os.Getenv("AUDITLAKE_AGENT_RUNS")
	if path == "" {
		path = "../../shared/data/airline-agent.ndjson"
	}
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("left out: the real agent runs are not at %s (AUDITLAKE_AGENT_RUNS names another place)", path)
	}
	require.NoError(t, err)
	defer f.Close()
	limits := DefaultLimits
	d := NewDecoder(limits)
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
