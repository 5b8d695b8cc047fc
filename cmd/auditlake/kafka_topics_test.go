package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A configuration of patterns: what reads takes every topic that matches, what writes
// wants a name.
func TestTopicPatterns(t *testing.T) {
	l := newLab(t)
	l.config = writeFile(t, l.dir, "patterns.yaml", replaceOne(t, readFile(t, l.config), "topics: ["+labTopic+"]", `topics: ["^agent-", "^other-"]`))
	events := writeFile(t, l.dir, "events.ndjson", string(prompt(1))+"\n"+string(prompt(2))+"\n")
	r := l.call("produce", events)
	require.Equal(t, exitUsage, r.code)
	require.Equal(t, "auditlake: kafka.topics holds patterns only: name the topic to send to by --topic\n", r.stderr)
	l.must("produce", "--topic", labTopic, events)
	more := writeFile(t, l.dir, "more.ndjson", string(prompt(3))+"\n"+string(prompt(4))+"\n")
	l.must("produce", "--topic", "other-events", "--create-topic", "1", more)
	l.must("produce", "--topic", "unmatched", "--create-topic", "1", events)

	var s status
	require.NoError(t, json.Unmarshal([]byte(l.must("status", "--json")), &s))
	require.EqualValues(t, 4, *s.Lag)
	require.Len(t, s.TopicPartitions, 4)
	l.catchUp()
	require.EqualValues(t, 4, l.value("SELECT count(*) FROM agent_events"))
	require.NoError(t, json.Unmarshal([]byte(l.must("status", "--json")), &s))
	require.Zero(t, *s.Lag)
	l.requireVerified()

	l.config = writeFile(t, l.dir, "named.yaml", replaceOne(t, readFile(t, l.config), `"^other-"`, "not-there"))
	r = l.call("run", "--until-caught-up")
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.stderr, "topic not-there does not exist on")
	r = l.call("status")
	require.Equal(t, exitDone, r.code)
	require.Equal(t, 1, strings.Count(r.stderr, "topic not-there does not exist"), r.stderr)
	require.Contains(t, r.stdout, "agent-events/2")
	r = l.call("produce", events)
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.stderr, "topic not-there does not exist")
}
