package envelope

import (
	"bytes"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// The payload of a binary event is the structured form, to the byte.
func TestDecodeBinary(t *testing.T) {
	headers := []string{"ce_type", "agent.tool_call", "ce_specversion", "1.0", "other", "x", "CE_source", "/a", "ce_id", `q"1`, "ce_time", "2026-01-31T12:00:00Z", "ce_sequence", "7"}
	head := `{%s"id":"q\"1","sequence":"7","source":"/a","specversion":"1.0","time":"2026-01-31T12:00:00Z","type":"agent.tool_call"%s}`
	cases := []struct{ contentType, value, dct, data string }{
		{"", ` {"gen_ai.tool.name":"a"}`, "", `,"data": {"gen_ai.tool.name":"a"}`},
		{"application/json", `{"gen_ai.tool.name":"a"}`, `"datacontenttype":"application/json",`, `,"data":{"gen_ai.tool.name":"a"}`},
		{"application/vnd.x+json; charset=utf-8", `{"gen_ai.tool.name":"a"}`, `"datacontenttype":"application/vnd.x+json; charset=utf-8",`, `,"data":{"gen_ai.tool.name":"a"}`},
		{"TEXT/json", `{"gen_ai.tool.name":"a"}`, `"datacontenttype":"TEXT/json",`, `,"data":{"gen_ai.tool.name":"a"}`},
		{"text/plain", "hi", `"datacontenttype":"text/plain",`, `,"data_base64":"aGk="`},
		{"application/avro", "\x00\xff", `"datacontenttype":"application/avro",`, `,"data_base64":"AP8="`},
		{"a/json; p=\"\t\"", "[1 ]\n", `"datacontenttype":"a/json; p=\"\u0009\"",`, ",\"data\":[1 ]\n"},
		{"application/json", "", `"datacontenttype":"application/json",`, ""},
	}
	d := NewDecoder(DefaultLimits) // one for all: nothing of a record is left for the next
	for _, tc := range cases {
		h := headers
		if tc.contentType != "" {
			h = append([]string{"content-type", tc.contentType}, headers...)
		}
		events, err := d.Decode(record(tc.value, h...))
		require.NoError(t, err, tc.contentType)
		want := strings.Replace(strings.Replace(head, "%s", tc.dct, 1), "%s", tc.data, 1)
		require.Equal(t, want, string(events[0].Payload))
		require.EqualValues(t, 7, events[0].Value(ColSequence).Int)
		require.Equal(t, strings.Contains(tc.data, "tool.name"), events[0].Has(ColToolName))
	}
}

// A header's text is the attribute's as it is: the Kafka binding, unlike the HTTP
// binding, encodes nothing. A header without a value is null.
func TestDecodeBinaryHeaders(t *testing.T) {
	r := record("", "ce_specversion", "1.0", "ce_id", `%20 \x`, "ce_source", "é\x00", "ce_type", "agent.prompt", "ce_time", "2026-01-31T12:00:00Z",
		"ce_tenant", "", "ce_environment", "", "Ce_x", "1", "ce_x", "2", "ce_", "no name", "traceparent", "no attribute", "ce_traceparent", "7")
	r.Headers[6].Value = nil // environment
	events, err := NewDecoder(DefaultLimits).Decode(r)
	require.NoError(t, err)
	ev := &events[0]
	require.Equal(t, `{"environment":null,"id":"%20 \\x","source":"é\u0000","specversion":"1.0","tenant":"","time":"2026-01-31T12:00:00Z",`+
		`"traceparent":"7","type":"agent.prompt","x":"1","x":"2"}`, string(ev.Payload))
	require.Equal(t, `%20 \x`, string(ev.Value(ColEventID).Text))
	require.Equal(t, "é\x00", string(ev.Value(ColSource).Text))
	require.True(t, ev.Has(ColTenant))
	require.False(t, ev.Has(ColEnvironment))
	require.Equal(t, [][]byte{[]byte("traceparent")}, ev.Misfits)
	require.Equal(t, 2, ev.Unknown)

	r.Headers[1].Value = nil
	_, err = NewDecoder(DefaultLimits).Decode(r)
	requireInvalid(t, err, Missing, "id", "")
}

// Which carrier takes a record: structured before binary before bare JSON.
func TestDecodeCarriers(t *testing.T) {
	event := "{" + base + "}"
	ce := []string{"ce_specversion", "1.0", "ce_id", "2", "ce_source", "/a", "ce_type", "agent.prompt", "ce_time", "2026-01-31T12:00:00Z"}
	for _, tc := range []struct {
		contentType string
		headers     []string
		id          string // "1" of the value, "2" of the headers, "" for an error
	}{
		{structuredType, nil, "1"},
		{"Application/CloudEvents+JSON ; charset=\"a;b\"", nil, "1"},
		{structuredType, ce, "1"},
		{"application/json", ce, "2"},
		{"", ce, "2"},
		{"", nil, "1"},
		{"application/json;", nil, "1"},
		{" text/json", nil, "1"},
		{"application/vnd.acme+json", nil, "1"},
		{"application/cloudevents-batch+json", nil, ""},
		{"application/cloudevents+avro", nil, ""},
		{"application/x-ndjson", nil, ""},
		{"text/plain", nil, ""},
	} {
		h := tc.headers
		if tc.contentType != "" {
			h = append([]string{"Content-Type", tc.contentType}, h...)
		}
		events, err := NewDecoder(DefaultLimits).Decode(record(event, h...))
		if tc.id == "" {
			requireInvalid(t, err, UnknownFormat, "content-type", tc.contentType)
			continue
		}
		require.NoError(t, err, tc.contentType)
		require.Equal(t, tc.id, string(events[0].Value(ColEventID).Text), tc.contentType)
	}
}

// A carrier may hold many events: what is to come (OTLP, Avro, Protobuf) has its
// place. This one holds an event a line.
func TestCarrierOfManyEvents(t *testing.T) {
	was := carriers
	defer func() { carriers = was }()
	carriers = append([]carrier{{
		fits: func(_ *Record, mediaType []byte) bool { return string(mediaType) == "application/x-ndjson" },
		decode: func(d *Decoder, rec *Record, _ []byte) *Invalid {
			for line := range bytes.Lines(rec.Value) {
				if inv := d.add(line, true); inv != nil {
					return inv
				}
			}
			return nil
		},
	}}, was...)

	event := func(id string) string {
		return "{" + strings.Replace(base, `"id":"1"`, `"id":"\u0023`+id+`"`, 1) + `,"data":{"gen_ai.response.finish_reasons":["\u0023` + id + `","b"]}}`
	}
	d := NewDecoder(DefaultLimits)
	for _, n := range []int{1, 100, 3} { // memory of the events is used again
		var lines []string
		for i := range n {
			lines = append(lines, event(strconv.Itoa(i)))
		}
		events, err := d.Decode(record(strings.Join(lines, "\n"), "content-type", "application/x-ndjson"))
		require.NoError(t, err)
		require.Len(t, events, n)
		for i := range events {
			ev := &events[i]
			require.EqualValues(t, i, ev.Index)
			require.Equal(t, "#"+strconv.Itoa(i), string(ev.Value(ColEventID).Text))
			require.Equal(t, "#"+strconv.Itoa(i), string(ev.Value(ColFinishReasons).List[0]))
			require.Equal(t, lines[i], strings.TrimSuffix(string(ev.Payload), "\n"))
		}
	}

	// All of a record or nothing of it.
	late := strings.Replace(event("2"), "2026", "2030", 1)
	_, err := d.Decode(record(event("1")+"\n"+late, "content-type", "application/x-ndjson"))
	requireInvalid(t, err, TimeOutOfRange, "time", late)
	_, err = d.Decode(record(event("1")+"\n{}", "content-type", "application/x-ndjson"))
	requireInvalid(t, err, Missing, "specversion", "{}")
	_, err = d.Decode(record("", "content-type", "application/x-ndjson"))
	requireInvalid(t, err, NoEvents, "", "")
}

// Every character that JSON escapes comes back from the payload as it was.
func TestDecodeBinaryEscapes(t *testing.T) {
	var every []byte
	for c := range 256 {
		every = utf8.AppendRune(every, rune(c))
	}
	r := record(`{"a":1}`, "ce_specversion", "1.0", "ce_id", "1", "ce_source", "/a", "ce_type", "agent.prompt", "ce_time", "2026-01-31T12:00:00Z",
		"ce_tenant", string(every), "ce_x"+string(every), "y")
	events, err := NewDecoder(DefaultLimits).Decode(r)
	require.NoError(t, err)
	require.Equal(t, string(every), string(events[0].Value(ColTenant).Text))
	requireBinaryPayload(t, r, events[0].Payload)
}
