package envelope

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	releasedColumns = "testdata/released/columns.json"
	releasedSchemas = "testdata/released/schemas.json"
)

// releasedColumn is what stays of a column once it was released.
type releasedColumn struct {
	Name, Kind    string
	Required      bool
	Context, Data string
}

func columnsNow() []releasedColumn {
	var out []releasedColumn
	for _, c := range Columns {
		out = append(out, releasedColumn{c.Name, kindLabels[c.Kind], c.Required, c.Context, c.Data})
	}
	return out
}

// What was released stays: a column or a property may be added, never renamed,
// removed, narrowed or given another meaning. With -update the additions become
// part of what was released; what breaks it fails all the same.
func TestReleasedStays(t *testing.T) {
	var columns []releasedColumn
	readJSON(t, releasedColumns, &columns)
	require.NotEmpty(t, columns)
	require.Empty(t, brokenColumns(columns, columnsNow()))

	var was, now map[string]any
	readJSON(t, releasedSchemas, &was)
	require.NotEmpty(t, was)
	lines := []byte("{")
	for i, name := range SchemaNames() {
		raw, ok := Schema(name)
		require.True(t, ok, name)
		lines = append(lines, map[bool]string{true: "\n", false: ",\n"}[i == 0]...)
		line := bytes.NewBuffer(fmt.Appendf(lines, "%q:", name))
		require.NoError(t, json.Compact(line, raw))
		lines = line.Bytes()
	}
	lines = append(lines, "\n}\n"...)
	require.NoError(t, json.Unmarshal(lines, &now))
	for name := range was {
		require.Contains(t, now, name, "the schema of a released class is gone")
		require.Empty(t, brokenSchema(name, was[name], now[name]))
	}
	if *update {
		raw, err := json.MarshalIndent(columnsNow(), "", " ")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(releasedColumns, append(raw, '\n'), 0o644))
		require.NoError(t, os.WriteFile(releasedSchemas, lines, 0o644))
	}
}

func readJSON(t *testing.T, path string, v any) {
	raw, err := os.ReadFile(filepath.FromSlash(path))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, v))
}

func brokenColumns(was, now []releasedColumn) []string {
	var broken []string
	for _, c := range was {
		if !slices.Contains(now, c) {
			broken = append(broken, fmt.Sprintf("released column %s is no longer %+v", c.Name, c))
		}
	}
	return broken
}

// brokenSchema says where a schema refuses what it took before. Keywords that
// it does not know may not change at all.
func brokenSchema(at string, was, now any) []string {
	old, isMap := was.(map[string]any)
	young, isMapNow := now.(map[string]any)
	if !isMap || !isMapNow {
		return []string{at + " is gone"}
	}
	var broken []string
	for key := range young {
		if _, had := old[key]; !had && key != "description" && key != "title" {
			broken = append(broken, at+" has a new "+key)
		}
	}
	for key, value := range old {
		have, there := young[key]
		switch key {
		case "description", "title":
		case "properties":
			properties, _ := have.(map[string]any)
			for name, p := range value.(map[string]any) {
				broken = append(broken, brokenSchema(at+"."+name, p, properties[name])...)
			}
		case "type":
			for _, kind := range listOf(value) {
				if there && !slices.Contains(listOf(have), kind) {
					broken = append(broken, fmt.Sprintf("%s is no longer %v", at, kind))
				}
			}
		case "required":
			for _, name := range listOf(have) {
				if !slices.Contains(listOf(value), name) {
					broken = append(broken, fmt.Sprintf("%s requires %v", at, name))
				}
			}
		default:
			if fmt.Sprint(have) != fmt.Sprint(value) {
				broken = append(broken, fmt.Sprintf("%s: %s was %v, is %v", at, key, value, have))
			}
		}
	}
	return broken
}

// listOf takes one value for a list of it.
func listOf(v any) []any {
	if list, ok := v.([]any); ok {
		return list
	}
	return []any{v}
}

// The guard itself: each way of breaking what was released is noticed, and what
// may change is not.
func TestReleasedNoticesBreaks(t *testing.T) {
	for name, change := range map[string]func(*releasedColumn){
		"renamed":       func(c *releasedColumn) { c.Name = "x" },
		"other kind":    func(c *releasedColumn) { c.Kind = "text" },
		"now required":  func(c *releasedColumn) { c.Required = true },
		"other context": func(c *releasedColumn) { c.Context = "x" },
		"other key":     func(c *releasedColumn) { c.Data = "x" },
	} {
		now := columnsNow()
		change(&now[ColSeed])
		require.Len(t, brokenColumns(columnsNow(), now), 1, name)
	}
	require.Len(t, brokenColumns(columnsNow(), slices.Delete(columnsNow(), 3, 4)), 1)
	require.Empty(t, brokenColumns(columnsNow(), append(columnsNow(), releasedColumn{Name: "new"})))

	const was = `{"title":"t","type":"object","required":["id"],"properties":{"id":{"type":["string","null"],"minLength":1},"n":{"type":"integer"}}}`
	for now, breaks := range map[string]int{
		was: 0,
		`{"title":"u","type":"object","required":[],"properties":{"new":{"type":"string"},"id":{"type":["string","null","number"],"minLength":1},"n":{"type":["number","integer"]}}}`: 0,
		`{"title":"t","type":"object","required":["id"],"properties":{"id":{"type":["string","null"],"minLength":1}}}`:                                                                1,
		`{"title":"t","type":"object","required":["id","n"],"properties":{"id":{"type":["string","null"],"minLength":1},"n":{"type":"integer"}}}`:                                     1,
		`{"title":"t","type":"object","required":["id"],"properties":{"id":{"type":"string","minLength":1},"n":{"type":"integer"}}}`:                                                  1,
		`{"title":"t","type":"object","required":["id"],"properties":{"id":{"type":["string","null"],"minLength":2},"n":{"type":"integer","minimum":0}}}`:                             2,
		`{"title":"t","type":"object","required":["id"],"additionalProperties":false}`:                                                                                                3,
		`{"title":"t","type":"object","required":["id"],"properties":{"id":{"minLength":1},"n":{"type":"integer"}}}`:                                                                  0,
	} {
		var old, young any
		require.NoError(t, json.Unmarshal([]byte(was), &old))
		require.NoError(t, json.Unmarshal([]byte(now), &young))
		require.Len(t, brokenSchema("event", old, young), breaks, now)
	}
}
