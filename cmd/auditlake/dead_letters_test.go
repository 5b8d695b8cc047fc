package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditlake/auditlake/envelope"
)

func recordOf(partition int, value []byte) *kgo.Record {
	return &kgo.Record{Partition: int32(partition), Value: value, Timestamp: time.Now()}
}

// badRecords has a record of each error class.
func badRecords() map[envelope.ErrorClass]string {
	event := func(more string) string {
		return fmt.Sprintf(`{"specversion":"1.0","id":"1","source":"/s","type":"agent.prompt","time":%q%s}`, time.Now().UTC().Format(time.RFC3339), more)
	}
	return map[envelope.ErrorClass]string{
		envelope.NotUTF8:                event(`,"data":"` + "\xff" + `"`),
		envelope.NotJSON:                event("") + "}",
		envelope.NotObject:              `["specversion"]`,
		envelope.TooDeep:                event(`,"data":` + strings.Repeat("[", 128) + strings.Repeat("]", 128)),
		envelope.TooLarge:               event(`,"data":"` + strings.Repeat("x", 8<<10) + `"`),
		envelope.Missing:                `{"specversion":"1.0","id":"1","source":"/s","type":"agent.prompt"}`,
		envelope.Empty:                  strings.Replace(event(""), `"id":"1"`, `"id":""`, 1),
		envelope.WrongType:              strings.Replace(event(""), `"id":"1"`, `"id":1`, 1),
		envelope.DuplicateKey:           event(`,"sessionid":"a","sessionid":"a"`),
		envelope.BadTime:                `{"specversion":"1.0","id":"1","source":"/s","type":"agent.prompt","time":"yesterday"}`,
		envelope.TimeOutOfRange:         `{"specversion":"1.0","id":"1","source":"/s","type":"agent.prompt","time":"1999-12-31T23:59:59Z"}`,
		envelope.UnsupportedSpecVersion: strings.Replace(event(""), `"1.0"`, `"0.3"`, 1),
		envelope.UnknownFormat:          "\x00\x00\x00\x00\x07not read here \x00\x01",
		envelope.NoEvents:               "",
	}
}

// Every class of dead letter is found again byte for byte: value, key and headers.
func TestDeadLettersOfEveryClass(t *testing.T) {
	l := newLab(t, "sink: {max_event_bytes: 4KiB}")
	bad := badRecords()
	name := map[envelope.ErrorClass]string{}
	for i, c := range envelope.ErrorClasses {
		value, ok := bad[c.Class]
		require.True(t, ok, "no record of class %s", c.Class)
		rec := recordOf(i%3, []byte(value))
		if c.Class == envelope.NoEvents {
			rec.Value = nil
		}
		rec.Key, rec.Headers = []byte("k\x00\xff"), []kgo.RecordHeader{{Key: "h", Value: []byte{0, 1, 0xff}}, {Key: "none"}}
		l.send(recordOf(i%3, prompt(i)), rec)
		name[c.Class] = fmt.Sprintf("%s/%d/%d", labTopic, rec.Partition, rec.Offset)
	}
	l.catchUp()
	l.requireVerified()
	require.EqualValues(t, len(bad), l.value(`SELECT count(*) FROM agent_log`), "the good records beside them")

	for _, c := range envelope.ErrorClasses {
		t.Run(string(c.Class), func(t *testing.T) {
			var listed []map[string]any
			require.NoError(t, json.Unmarshal([]byte(l.must("dead-letters", "list", "--class", string(c.Class), "--json")), &listed))
			require.Len(t, listed, 1)
			require.Equal(t, name[c.Class], listed[0]["dead_letter"])
			require.NotEmpty(t, listed[0]["error_text"])
			require.Equal(t, bad[c.Class], l.must("dead-letters", "show", name[c.Class]))

			var whole letter
			require.NoError(t, json.Unmarshal([]byte(l.must("dead-letters", "show", "--details", name[c.Class])), &whole))
			require.Equal(t, string(c.Class), whole.Class)
			require.Equal(t, "k\x00\xff", string(whole.Key))
			require.Len(t, whole.Headers, 2)
			require.Equal(t, letterHeader{"h", []byte{0, 1, 0xff}}, whole.Headers[0])
			require.Equal(t, "none", whole.Headers[1].Key)
			require.Equal(t, c.Class == envelope.NoEvents, whole.Value == nil, "a tombstone is no empty value")
		})
	}
}

// What was too large for one limit is an event under another: replay sends it
// again, and the log says so.
func TestDeadLettersReplay(t *testing.T) {
	l := newLab(t, "sink: {max_event_bytes: 4KiB}")
	large := badRecords()[envelope.TooLarge]
	rec := recordOf(1, []byte(large))
	rec.Key = []byte("the session")
	l.send(rec, recordOf(0, []byte("no event")))
	l.catchUp()
	require.EqualValues(t, 2, l.value(`SELECT count(*) FROM dead_letters`))

	r := l.call("dead-letters", "replay", "--class", "too_large", "--dry-run")
	require.Equal(t, exitDone, r.code)
	require.Contains(t, r.stderr, "nothing was sent")
	l.config = writeFile(t, l.dir, "larger.yaml", strings.Replace(readFile(t, l.config), "4KiB", "16KiB", 1))
	require.Contains(t, l.must("dead-letters", "replay", "--class", "too_large"), "replayed 1 dead letter")
	l.catchUp()
	l.requireVerified()
	require.Equal(t, []map[string]any{{"payload": large}}, l.rows(`SELECT payload FROM agent_log`))
	require.EqualValues(t, 2, l.value(`SELECT count(*) FROM dead_letters`), "they stay")
	require.Equal(t, []map[string]any{{"job": "dead_letter_replay", "row_count": 1.0, "target": labTopic}},
		l.rows(`SELECT job, row_count, target FROM maintenance_log`))

	require.Equal(t, exitNothingToDo, l.call("dead-letters", "replay", "--class", "too_deep", "--detailed-exit-code").code)
}
