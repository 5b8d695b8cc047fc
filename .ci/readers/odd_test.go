package readers

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Values on which readers are known to part: each as JSON, null among them. The
// last character that there is cannot be counted up in an upper bound.
var (
	oddTexts = []string{
		`null`, `""`, `" "`, `"\u0000"`, `"a\u0000b"`, `"plain"`, `"with space"`, `"trailing "`, `"a/b"`, `"per%cent%2Fage"`, `"q?x=1&y=2#z"`, `".."`, `"dot."`,
		`"naïve Größe 日本語 Ελλάς"`, `"nai\u0308ve"`, `"😀👩‍👩‍👧"`, `"\udbff\udfff\udbff\udfff\udbff\udfff\udbff\udfff\udbff\udfff\udbff\udfff\udbff\udfff\udbff\udfff\udbff\udfff\udbff\udfff\udbff\udfff\udbff\udfff\udbff\udfff\udbff\udfff\udbff\udfff\udbff\udfff\udbff\udfff"`,
		`"\ufffd\ufeff\u200b"`, `"line\nbreak\ttab \"quoted\" back\\slash 'single'"`, `"` + strings.Repeat("long ", 1000) + `"`,
		`"__HIVE_DEFAULT_PARTITION__"`, `"null"`, `"NULL"`, `"+plus=equals"`, `"ABCDEFGHIJKLMNOPé"`, `"zzzzzzzzzzzzzzzzzzzz"`,
	}
	oddTenants  = append(oddTexts[:19:19], oddTexts[20:]...) // a folder's name has 255 bytes
	oddIntegers = []string{`null`, `0`, `1`, `-1`, `9223372036854775807`, `-9223372036854775808`, `9007199254740993`}
	oddCounts   = []string{`null`, `0`, `1`, `9223372036854775807`, `2147483648`}
	oddDoubles  = []string{`null`, `0`, `-0.0`, `0.1`, `-0.1`, `5e-324`, `-1.7976931348623157e308`, `1.7976931348623157e308`, `1e22`, `123456789.123456789`}
	oddDecimals = []string{`null`, `0`, `-0.0`, `0.000000001`, `-0.000000001`, `999999999.999999999`, `-999999999.999999999`, `1.5`, `0.0000000005`}
	oddTimes    = []string{
		`null`, `"0001-01-01T00:00:00Z"`, `"1582-10-04T23:59:59.999999Z"`, `"1582-10-15T00:00:00Z"`, `"1969-12-31T23:59:59.999999Z"`, `"1970-01-01T00:00:00Z"`,
		`"2026-03-29T01:30:00.123456+01:00"`, `"2400-02-29T23:59:60Z"`, `"9999-12-31T23:59:59.999999Z"`,
	}
	oddLists = []string{`null`, `[]`, `[""]`, `["stop"]`, `["a","","日本",".."]`, `"one"`}
)

// oddAttributes are attributes with a column, with the values they take.
var oddAttributes = []struct {
	names  string
	values []string
	data   bool
}{
	{"subject dataschema datacontenttype sessionid runid parentrunid causationid causationsource authtype authid agentid agentname agentversion environment dataclassification dataregulation", oddTexts, false},
	{"sequence", oddIntegers, false},
	{"gen_ai.operation.name gen_ai.request.model gen_ai.response.model audit.status error.type gen_ai.tool.name audit.retry_of audit.action.name audit.idempotency_key audit.policy.id audit.variant", oddTexts, true},
	{"gen_ai.request.seed", oddIntegers, true},
	{"gen_ai.usage.input_tokens gen_ai.usage.output_tokens audit.attempt audit.retrieval.document_count", oddCounts, true},
	{"gen_ai.request.temperature gen_ai.request.top_p gen_ai.request.top_k audit.duration_ms gen_ai.evaluation.score.value", oddDoubles, true},
	{"audit.cost.amount", oddDecimals, true},
	{"audit.approval.at", oddTimes, true},
	{"gen_ai.response.finish_reasons", oddLists, true},
}

// oddWhere are conditions that an engine answers by statistics, partitions and rows.
var oddWhere = []condition{
	{{"event_class", "=", "tool_call"}},
	{{"event_class", "=", "no_such_class"}},
	{{"event_time", "<", "1970-01-01T00:00:00Z"}},
	{{"event_time", ">=", "1970-01-01T00:00:00Z"}, {"event_time", "<", "1970-01-02T00:00:00Z"}},
	{{"event_time", ">=", "2026-03-01T00:00:00.000001Z"}, {"event_class", "=", "output"}},
	{{"tenant", "=", "a/b"}},
	{{"tenant", "=", ""}},
	{{"tenant", "=", "per%cent%2Fage"}},
	{{"tenant", "=", "naïve Größe 日本語 Ελλάς"}},
	{{"tenant", "=", "__HIVE_DEFAULT_PARTITION__"}},
	{{"tenant", "is null", nil}},
	{{"tenant", "is not null", nil}, {"subject", "is null", nil}},
	{{"subject", "=", strings.Repeat("\U0010ffff", 17)}},
	{{"subject", ">", "\U0010ffff"}},
	{{"subject", "<=", "ABCDEFGHIJKLMNOPé"}},
	{{"seed", "=", 9223372036854775807}},
	{{"seed", "<", 0}},
	{{"top_p", "<", 0.0}},
	{{"temperature", ">", 1e300}},
	{{"approved_at", "<", "1582-10-10T00:00:00Z"}},
	{{"approved_at", "=", "9999-12-31T23:59:59.999999Z"}},
	{{"kafka_offset", "<", 10}, {"kafka_partition", "=", 1}},
	{{"variant", "is null", nil}},
}

// deadWhere are conditions on dead_letters.
var deadWhere = []condition{
	{{"error_class", "=", "not_json"}},
	{{"error_class", "=", "no_events"}, {"kafka_timestamp", ">=", "1970-01-01T00:00:00.1Z"}},
	{{"value", "is null", nil}},
	{{"ingest_time", "<", "2020-01-01T00:00:00Z"}},
}

var oddClasses = []string{"prompt", "tool_call", "output", "a-class_of-0ur5", "other"}

// oddRecords makes n records with values from the pools, and one dead letter to
// every ten; the same seed makes the same. They spread over three topic partitions.
func oddRecords(n int, seed uint64) []*kgo.Record {
	rng := rand.New(rand.NewPCG(seed, 4))
	days := []string{"1969-12-31T23:59:59.999999Z", "1970-01-01T00:00:00Z", "2026-03-01T00:00:00.000001Z", "2026-03-01T23:59:59.999999+00:00", "2026-03-02T01:00:00+02:00"}
	keys := [][]byte{nil, {}, []byte("key"), {0, 255, 10}, []byte("schlüssel")}
	var out []*kgo.Record
	for i := range n {
		// These three go together, for thirty table partitions and not for all that are possible.
		k := rng.IntN(30)
		day, tenant := days[k%len(days)], json.RawMessage(oddTenants[k%len(oddTenants)])
		at, err := time.Parse(time.RFC3339Nano, day)
		if err != nil {
			panic(err) // of days
		}
		class := "agent." + oddClasses[k%len(oddClasses)]
		if class == "agent.other" {
			class = "Größe/☃ %2F"
		}
		event := map[string]any{"specversion": "1.0", "id": fmt.Sprintf("odd-%d-%d ✓", seed, i), "source": "/odd/ü%20", "type": class, "time": day, "tenant": tenant}
		data := map[string]any{"gen_ai.unknown": "kept"}
		for _, a := range oddAttributes {
			for _, name := range strings.Fields(a.names) {
				to := event
				if a.data {
					to = data
				}
				if rng.IntN(4) > 0 { // else it is absent
					to[name] = json.RawMessage(a.values[rng.IntN(len(a.values))])
				}
			}
		}
		event["data"] = data
		value, err := json.Marshal(event)
		if err != nil {
			panic(err) // of the pools
		}
		r := &kgo.Record{Partition: int32(i % 3), Key: keys[rng.IntN(len(keys))], Value: value, Headers: oddHeaders(rng), Timestamp: later(at)}
		out = append(out, r)
		if i%10 == 3 {
			out = append(out, oddDeadLetter(rng, i))
		}
	}
	return out
}

// later is a time that Kafka takes: not before 1970.
func later(at time.Time) time.Time {
	if at.Before(time.UnixMilli(0)) {
		return time.UnixMilli(0)
	}
	return at
}

func oddHeaders(rng *rand.Rand) []kgo.RecordHeader {
	all := []kgo.RecordHeader{{Key: "h", Value: []byte("v")}, {Key: "h", Value: nil}, {Key: "h", Value: []byte{}}, {Key: "", Value: []byte{0, 1, 255}}, {Key: "schlüssel ☃", Value: []byte("ü")}}
	return all[:rng.IntN(len(all)+1)]
}

func oddDeadLetter(rng *rand.Rand, i int) *kgo.Record {
	values := [][]byte{nil, {}, []byte("no event"), {0xff, 0xfe}, []byte(`{"specversion":"1.0"}`), []byte("[]"), []byte(strings.Repeat("[", 200))}
	return &kgo.Record{Partition: int32(i % 3), Value: values[rng.IntN(len(values))], Headers: oddHeaders(rng), Timestamp: time.UnixMilli(int64(i))}
}
