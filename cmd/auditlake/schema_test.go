package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/envelope"
	"github.com/auditlake/auditlake/queries"
)

func TestSchemaDescribesWhatSQLReads(t *testing.T) {
	list := mustCall(t, "schema")
	for _, name := range schemaNames() {
		require.Regexp(t, `(?m)^`+name+` `, list)
		if _, ok := envelope.Schema(name); ok {
			require.True(t, json.Valid([]byte(mustCall(t, "schema", name))), name)
			continue
		}
		require.Contains(t, mustCall(t, "schema", name), "meaning", name)
	}
	for _, def := range catalog.Definitions() {
		var rows []map[string]string
		require.NoError(t, json.Unmarshal([]byte(mustCall(t, "schema", def.Name, "--json")), &rows))
		for i, c := range def.Columns() {
			require.Equal(t, c.Name, rows[i]["column"])
			require.Equal(t, c.Type, rows[i]["type"])
			require.NotEmpty(t, rows[i]["source"], c.Name)
		}
	}
	require.Regexp(t, `(?m)^session_id +string +attribute sessionid, else data gen_ai.conversation.id +the conversation$`, mustCall(t, "schema", "agent_events"))
	require.Regexp(t, `(?m)^input_text +varchar +data gen_ai.input.messages, by message_text `, mustCall(t, "schema", "prompts"))
	require.Regexp(t, `(?m)^wall_ms +double +ms +ended_at - started_at `, mustCall(t, "schema", "runs"))
	require.Contains(t, mustCall(t, "schema", "attribute"), "attribute(payload, name)")

	// The page of the docs is made from the same; see TestDocsOfQueries.
	page := readFile(t, "../../docs/queries.md")
	for _, v := range queries.ViewList() {
		for line := range strings.Lines(mustCall(t, "schema", v.Name, "-o", "ndjson")) {
			var c map[string]string
			require.NoError(t, json.Unmarshal([]byte(line), &c))
			require.Contains(t, page, "| `"+c["column"]+"` |", v.Name)
			require.Contains(t, page, " | "+strings.ReplaceAll(c["source"], "|", `\|`)+" | ", v.Name)
		}
	}
}
