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
		require.Contains(t, schemas, class, f)
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

// What the decoder takes, a schema accepts: it may tell a producer nothing that
// is not so. (Strings that are no number pass a schema and are misfits.)
func TestSchemaAcceptsWhatFits(t *testing.T) {
	event := compileSchemas(t)[eventSchema]
	for _, tc := range valueCases() {
		value := tc.event()
		// The schema's date-time knows when there were leap seconds; the decoder does not.
		if tc.want == nil || len(value) > 10_000 || strings.Contains(tc.json, ":60") {
			continue
		}
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(value))
		require.NoError(t, err)
		require.NoError(t, event.Validate(doc), value)
	}
}

// And it refuses what is plainly wrong, for every column.
func TestSchemaRefusesWrongKinds(t *testing.T) {
	event := compileSchemas(t)[eventSchema]
	wrong := map[Kind]string{Text: "{}", Integer: "1.5", Count: "-1", Sequence: "true", Double: "[]", Seconds: "{}", Decimal9: "false", Timestamp: `"now"`, TextList: "[1]"}
	for _, c := range Columns {
		for _, attr := range []string{c.Context, c.Data} {
			if attr == "" {
				continue
			}
			value := "{" + base + `,"data":{"` + attr + `":` + wrong[c.Kind] + "}}"
			if attr == c.Context {
				value = strings.Replace("{"+base+"}", "}", `,"`+attr+`":`+wrong[c.Kind]+"}", 1)
			}
			doc, err := jsonschema.UnmarshalJSON(strings.NewReader(value))
			require.NoError(t, err)
			require.Error(t, event.Validate(doc), value)
		}
	}
}

var kindLabels = map[Kind]string{Text: "text", Integer: "integer", Count: "count", Sequence: "sequence", Double: "double",
	Seconds: "seconds", Decimal9: "decimal(18,9)", Timestamp: "timestamp", TextList: "list of text"}
