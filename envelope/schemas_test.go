package envelope

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write generated files anew")

func TestSchemasAreOfTheRegistry(t *testing.T) {
	made := makeSchemas()
	require.Len(t, made, len(SchemaNames()))
	for name, want := range made {
		path := filepath.Join("schema", name+".json")
		if *update {
			require.NoError(t, os.WriteFile(path, want, 0o644))
		}
		have, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, string(want), string(have), "%s: run this test with -update", path)
	}
}

func compileSchemas(t *testing.T) map[string]*jsonschema.Schema {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	out := map[string]*jsonschema.Schema{}
	for _, name := range SchemaNames() {
		raw, ok := Schema(name)
		require.True(t, ok, name)
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
		require.NoError(t, err)
		require.NoError(t, c.AddResource(schemaBase+name+".json", doc))
	}
	for _, name := range SchemaNames() {
		s, err := c.Compile(schemaBase + name + ".json")
		require.NoError(t, err)
		out[name] = s
	}
	return out
}

// Each example is valid by its class's schema, decodes without a misfit, and
// each class of the schemas has one.
func TestExamples(t *testing.T) {
	schemas := compileSchemas(t)
	files, err := filepath.Glob("testdata/examples/*.json")
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		require.NoError(t, err)
		class := strings.TrimSuffix(filepath.Base(f), ".json")
		seen[class] = true
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
		require.NoError(t, err, f)
		require.NoError(t, schemas[eventSchema].Validate(doc), f)
		require.NoError(t, schemas[class].Validate(doc), f)
		events, err := NewDecoder(DefaultLimits).Decode(&Record{Value: raw, Timestamp: -1})
		require.NoError(t, err, f)
		require.Equal(t, class, string(events[0].Class()), f)
		require.Empty(t, events[0].Misfits, f)
		require.Zero(t, events[0].Unknown, f)
	}
	for _, name := range SchemaNames()[1:] {
		require.True(t, seen[name], "no example for %s", name)
	}
}

// A schema refuses what the decoder refuses of required attributes.
func TestSchemaRefuses(t *testing.T) {
	event := compileSchemas(t)[eventSchema]
	for _, attr := range []string{"specversion", "id", "source", "type", "time"} {
		for _, bad := range []string{"", `null`, `""`, `7`} {
			m := map[string]json.RawMessage{}
			require.NoError(t, json.Unmarshal([]byte("{"+base+"}"), &m))
			if delete(m, attr); bad != "" {
				m[attr] = json.RawMessage(bad)
			}
			raw, err := json.Marshal(m)
			require.NoError(t, err)
			doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
			require.NoError(t, err)
			require.Error(t, event.Validate(doc), "%s", raw)
			_, err = NewDecoder(DefaultLimits).Decode(record(string(raw), "content-type", structuredType))
			require.Error(t, err, "%s", raw)
		}
	}
}

// What was released stays: a column may be added, never renamed, removed or
// given another kind or attribute.
func TestRegistryKeepsWhatWasReleased(t *testing.T) {
	const path = "testdata/released/columns.json"
	type released struct{ Name, Kind, Context, Data string }
	have := map[string]released{}
	var all []released
	for _, c := range Columns {
		r := released{c.Name, kindLabels[c.Kind], c.Context, c.Data}
		have[c.Name] = r
		all = append(all, r)
	}
	if *update {
		raw, err := json.MarshalIndent(all, "", " ")
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, append(raw, '\n'), 0o644))
	}
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	var was []released
	require.NoError(t, json.Unmarshal(raw, &was))
	require.NotEmpty(t, was)
	for _, r := range was {
		require.Equal(t, r, have[r.Name], "a released column changed")
	}
}

var kindLabels = map[Kind]string{Text: "text", Integer: "integer", Count: "count", Sequence: "sequence", Double: "double",
	Seconds: "seconds", Decimal9: "decimal(18,9)", Timestamp: "timestamp", TextList: "list of text"}
