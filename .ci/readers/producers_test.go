package readers

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/internal/part"
	"github.com/auditlake/auditlake/sink/kafkatest"
)

// sdkEvent is an event as send.py and Send.java take it.
type sdkEvent struct {
	Attributes map[string]any `json:"attributes"`
	JSON       any            `json:"json,omitempty"`
	Text       string         `json:"text,omitempty"`
	Base64     []byte         `json:"base64,omitempty"`
}

// data is the event's data as bytes, and whether they are JSON.
func (e sdkEvent) data(t *testing.T) ([]byte, bool) {
	switch {
	case e.JSON != nil:
		b, err := json.Marshal(e.JSON)
		require.NoError(t, err)
		return b, true
	case e.Text != "":
		return []byte(e.Text), false
	}
	return e.Base64, false
}

type sdkBatch struct {
	Mode        string     `json:"mode"`
	Codec       string     `json:"codec"`
	Transaction string     `json:"transaction"`
	Events      []sdkEvent `json:"events"`
}

// sdkEvents are one event of each kind that the SDKs treat in their own way.
func sdkEvents(batch string) []sdkEvent {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	made := []sdkEvent{
		{Attributes: map[string]any{"type": "agent.tool_call", "subject": "user:42", "datacontenttype": "application/json", "dataschema": "https://example.com/schemas/tool_call/1",
			"sequence": 7, "sessionid": "s-1", "runid": "r-1", "tenant": "größe ☃ 😀", "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "partitionkey": "s-1"},
			JSON: map[string]any{"gen_ai.tool.name": "get_order", "audit.duration_ms": 12.5, "audit.cost.amount": "0.000000125", "gen_ai.usage.input_tokens": 9007199254740991, "nested": map[string]any{"ü": []any{1, nil, true, "x"}}}},
		{Attributes: map[string]any{"type": "com.acme.agent.prompt.v2", "sessionid": "no data"}},
		{Attributes: map[string]any{"type": "agent.output", "datacontenttype": "text/plain"}, Text: "plain text, größer ☃\n\"quoted\""},
		{Attributes: map[string]any{"type": "agent.output", "datacontenttype": "application/octet-stream"}, Base64: every},
		{Attributes: map[string]any{"type": "agent.context_retrieval", "datacontenttype": "application/xml"}, Text: "<a b=\"c\">ü</a>"},
		{Attributes: map[string]any{"type": "agent.action", "datacontenttype": "application/vnd.acme+json"}, JSON: map[string]any{"audit.action.name": "refund.create"}},
		{Attributes: map[string]any{"type": "agent.input", "datacontenttype": "application/json; charset=utf-8"}, JSON: []any{"a list", 1}},
		{Attributes: map[string]any{"type": "org.example.something", "tenant": "quote\" back\\slash 'x' %20 \t", "myextension": "kept", "partitionkey": "ключ"}},
	}
	if strings.HasPrefix(batch, "python") { // its data is a dict, text or bytes: a list becomes Python's own text
		made[6].JSON = map[string]any{"list": made[6].JSON}
	}
	base := time.Now().UTC().Truncate(time.Microsecond)
	for i, e := range made {
		e.Attributes["specversion"], e.Attributes["source"], e.Attributes["id"] = "1.0", "/sdk/"+batch, fmt.Sprintf("%s-%d", batch, i)
		e.Attributes["time"] = base.Add(time.Duration(i) * 123457 * time.Microsecond).Format("2006-01-02T15:04:05.000000Z")
	}
	return made
}

// What the CloudEvents SDKs send lands as it was sent, in every mode, codec and
// transaction; what was aborted does not land.
func testCloudEventsSDKs(t *testing.T, kafka *kafkatest.Broker) {
	jars := part.Dir("cloudevents-java")
	part.Need(t, "the CloudEvents SDK for Java", exists(filepath.Join(jars, "jars.list")), ".ci/parts/cloudevents-java")
	topic := newTopic(t, kafka)
	l := localLake(t, kafka.Addr(), topic, "")
	l.must("init")
	committed, aborted := map[string]sdkEvent{}, 0
	for _, sdk := range []string{"python", "java"} {
		var input bytes.Buffer
		for _, mode := range []string{"binary", "structured"} {
			for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
				for _, transaction := range []string{"none", "commit", "abort"} {
					b := sdkBatch{mode, codec, transaction, sdkEvents(strings.Join([]string{sdk, mode, codec, transaction}, "-"))}
					require.NoError(t, json.NewEncoder(&input).Encode(b))
					for _, e := range b.Events {
						if transaction == "abort" {
							aborted++
						} else {
							committed[e.Attributes["id"].(string)] = e
						}
					}
				}
			}
		}
		cmd := exec.Command(python(t), "send.py", kafka.Addr(), topic)
		if sdk == "java" {
			cmd = exec.Command("java", "-Xmx256m", "-cp", filepath.Join(jars, "*"), "Send.java", kafka.Addr(), topic)
		}
		cmd.Stdin = &input
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s: %s", sdk, out)
	}
	require.Len(t, committed, 320)
	require.Equal(t, 160, aborted)
	l.catchUp()
	l.requireVerified()
	require.Empty(t, l.rows(`SELECT error_class, error_text, decode(value) AS value FROM dead_letters LIMIT 5`))
	rows := l.rows(`SELECT *, epoch_us(event_time) AS micros, decode(kafka_key) AS key, CAST(cost_amount AS VARCHAR) AS cost FROM agent_log`)
	for _, row := range rows {
		id := row["event_id"].(string)
		sent, ok := committed[id]
		require.True(t, ok, "%s landed, and was not sent, was aborted, or landed before", id)
		delete(committed, id)
		requireAsSent(t, sent, row)
	}
	require.Empty(t, committed, "these did not land")
}

// requireAsSent wants the row's columns and payload to be what the SDK was given.
func requireAsSent(t *testing.T, sent sdkEvent, row map[string]any) {
	t.Helper()
	a, id := sent.Attributes, row["event_id"].(string)
	for column, attribute := range map[string]string{"source": "source", "event_type": "type", "subject": "subject", "dataschema": "dataschema",
		"datacontenttype": "datacontenttype", "tenant": "tenant", "session_id": "sessionid", "run_id": "runid", "key": "partitionkey"} {
		require.Equal(t, a[attribute], row[column], "%s: %s", id, column)
	}
	at, err := time.Parse(time.RFC3339Nano, a["time"].(string))
	require.NoError(t, err)
	require.EqualValues(t, at.UnixMicro(), row["micros"], "%s", id)
	classes := map[string]string{"com.acme.agent.prompt.v2": "prompt", "org.example.something": "other"}
	class := classes[a["type"].(string)]
	if class == "" {
		class = strings.TrimPrefix(a["type"].(string), "agent.")
	}
	require.Equal(t, class, row["event_class"], "%s", id)
	require.Empty(t, row["misfits"], "%s", id)
	if class == "tool_call" {
		require.EqualValues(t, 7, row["sequence"])
		require.Equal(t, "get_order", row["tool_name"])
		require.EqualValues(t, 12.5, row["duration_ms"])
		require.EqualValues(t, 9007199254740991, row["input_tokens"])
		require.Equal(t, "4bf92f3577b34da6a3ce929d0e0e4736", row["trace_id"])
		require.Equal(t, "0.000000125", row["cost"])
	}
	if class == "action" && strings.HasPrefix(id, "java-structured") {
		// The SDK for Java does not take vnd.acme+json for JSON: docs/envelope.md.
		require.Nil(t, row["action_name"])
	} else if class == "action" {
		require.Equal(t, "refund.create", row["action_name"], id)
	}
	requireData(t, sent, row)
}

// requireData wants the payload to hold the event's data and extensions.
func requireData(t *testing.T, sent sdkEvent, row map[string]any) {
	t.Helper()
	id := row["event_id"]
	var payload map[string]any
	require.NoError(t, json.Unmarshal([]byte(row["payload"].(string)), &payload))
	if want, ok := sent.Attributes["myextension"]; ok {
		require.Equal(t, want, payload["myextension"], "%s", id)
	}
	want, isJSON := sent.data(t)
	encoded, has64 := payload["data_base64"].(string)
	data, hasData := payload["data"]
	switch {
	case len(want) == 0:
		require.False(t, has64 && encoded != "", "%s: %v", id, row["payload"])
		require.True(t, data == nil, "%s: %v", id, row["payload"])
	case isJSON && !has64:
		require.True(t, hasData, "%s: %v", id, row["payload"])
		got, err := json.Marshal(data)
		require.NoError(t, err)
		require.JSONEq(t, string(want), string(got), "%s", id)
	case has64:
		got, err := base64.StdEncoding.DecodeString(encoded)
		require.NoError(t, err)
		if isJSON {
			require.JSONEq(t, string(want), string(got), "%s", id)
		} else {
			require.Equal(t, want, got, "%s", id)
		}
	default:
		require.Equal(t, string(want), data, "%s", id)
	}
}
