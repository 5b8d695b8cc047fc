package envelope

import (
	"embed"
	"encoding/json"
	"io/fs"
	"path"
	"slices"
	"strings"
)

//go:embed schema/*.json
var schemaFiles embed.FS

// SchemaNames lists the JSON Schemas: "event" for every event, then one per
// class that this release documents.
func SchemaNames() []string {
	names := []string{eventSchema}
	for _, c := range classDocs {
		names = append(names, c.name)
	}
	return names
}

// Schema returns a JSON Schema (draft 2020-12) by its name.
func Schema(name string) ([]byte, bool) {
	b, err := fs.ReadFile(schemaFiles, path.Join("schema", name+".json"))
	return b, err == nil
}

const (
	eventSchema   = "event"
	schemaBase    = "https://auditlake.dev/schema/"
	schemaDialect = "https://json-schema.org/draft/2020-12/schema"
)

// classDoc says what an event of a class is and which keys of data are natural
// for it. Every key may stand in every class; these are what readers look for.
type classDoc struct {
	name, doc string
	natural   []string // prefixes of data keys
	long      []string // keys with long content
}

var everywhere = []string{"gen_ai.operation.name", "audit.duration_ms", "audit.status", "error.type", "audit.experiment", "audit.variant"}

var classDocs = []classDoc{
	{"prompt", "the user's natural-language request", nil, []string{"gen_ai.input.messages"}},
	{"input", "structured parameters passed to the agent: model settings, system instructions, arguments",
		[]string{"gen_ai.provider.", "gen_ai.request.", "gen_ai.prompt.", "audit.prompt.", "audit.tools."},
		[]string{"gen_ai.system_instructions", "gen_ai.tool.definitions", "gen_ai.input.messages"}},
	{"context_retrieval", "documents and look-ups pulled into context",
		[]string{"gen_ai.data_source.", "audit.retrieval."}, []string{"gen_ai.retrieval.query.text", "gen_ai.retrieval.documents"}},
	{"tool_call", "a tool invocation with its parameters and result",
		[]string{"gen_ai.tool.", "audit.tool.", "audit.attempt", "audit.retry_of", "audit.cost.", "audit.idempotency_key", "audit.approval.", "audit.policy."},
		[]string{"gen_ai.tool.call.arguments", "gen_ai.tool.call.result"}},
	{"output", "what the model produced",
		[]string{"gen_ai.provider.", "gen_ai.request.", "gen_ai.response.", "gen_ai.usage.", "audit.cost."}, []string{"gen_ai.output.messages"}},
	{"action", "a side effect visible outside: an API write, a message sent, a resource made",
		[]string{"audit.action.", "audit.idempotency_key", "audit.approval.", "audit.policy.", "gen_ai.tool.name", "gen_ai.tool.type", "gen_ai.tool.call.id", "audit.attempt", "audit.retry_of"}, nil},
	{"evaluation", "a judgement of a run: a score, a label", []string{"gen_ai.evaluation."}, nil},
	{"handoff", "one agent passing the work on to another", []string{"gen_ai.agent."}, nil},
}

// kindSchemas is what a producer should send for a column of a kind. Numbers
// may come as strings that are one JSON number.
var kindSchemas = map[Kind]map[string]any{
	Text:      {"type": []string{"string", "number", "boolean", "null"}},
	Integer:   {"type": []string{"integer", "string", "null"}},
	Count:     {"type": []string{"integer", "string", "null"}, "minimum": 0},
	Sequence:  {"type": []string{"integer", "string", "null"}},
	Double:    {"type": []string{"number", "string", "null"}},
	Seconds:   {"type": []string{"number", "string", "null"}},
	Decimal9:  {"type": []string{"number", "string", "null"}},
	Timestamp: {"type": []string{"string", "null"}, "format": "date-time"},
	TextList:  {"type": []string{"array", "string", "null"}, "items": map[string]any{"type": "string"}},
}

// makeSchemas writes every schema from the registry. The files in schema/ are
// its output; a test holds them to it.
func makeSchemas() map[string][]byte {
	out := map[string][]byte{eventSchema: encode(makeEventSchema())}
	for _, c := range classDocs {
		out[c.name] = encode(makeClassSchema(c))
	}
	return out
}

func makeEventSchema() map[string]any {
	props := map[string]any{
		"specversion": map[string]any{"const": "1.0"},
		"data":        map[string]any{"description": "the class's attributes, flat keys; any JSON value is legal", "properties": dataProperties(nil)},
		"data_base64": map[string]any{"type": "string", "contentEncoding": "base64"},
	}
	required := []string{"specversion"}
	for _, c := range Columns {
		if c.Context == "" {
			continue
		}
		p := property(c)
		if c.Required {
			required = append(required, c.Context)
			p["type"], p["minLength"] = "string", 1
		}
		if c.Context == "traceparent" {
			p["type"], p["pattern"] = []string{"string", "null"}, "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"
			p["description"] = "W3C trace context"
		}
		props[c.Context] = p
	}
	return map[string]any{
		"$schema": schemaDialect, "$id": schemaBase + eventSchema + ".json", "title": "agent audit event",
		"description": "A CloudEvents 1.0 event whose data uses OpenTelemetry GenAI attribute names as flat keys.",
		"type":        "object", "required": required, "properties": props, "additionalProperties": true,
	}
}

func makeClassSchema(c classDoc) map[string]any {
	data := dataProperties(func(key string) bool {
		for _, p := range slices.Concat(everywhere, c.natural) {
			if key == p || strings.HasSuffix(p, ".") && strings.HasPrefix(key, p) {
				return true
			}
		}
		return false
	})
	for _, key := range c.long {
		data[key] = map[string]any{"description": "long content, in payload only"}
	}
	return map[string]any{
		"$schema": schemaDialect, "$id": schemaBase + c.name + ".json", "title": "agent." + c.name, "description": c.doc,
		"allOf": []any{map[string]any{"$ref": schemaBase + eventSchema + ".json"}},
		"properties": map[string]any{
			"type": map[string]any{"pattern": `(^|\.)agent\.` + c.name + `(\.v[0-9]+)?$`},
			"data": map[string]any{"type": []string{"object", "null"}, "properties": data},
		},
	}
}

func dataProperties(want func(string) bool) map[string]any {
	props := map[string]any{}
	for _, c := range Columns {
		if c.Data != "" && (want == nil || want(c.Data)) {
			props[c.Data] = property(c)
		}
	}
	return props
}

func property(c Column) map[string]any {
	p := map[string]any{"description": c.Doc}
	for k, v := range kindSchemas[c.Kind] {
		p[k] = v
	}
	return p
}

func encode(schema map[string]any) []byte {
	b, _ := json.MarshalIndent(schema, "", "  ") // maps of strings and lists: cannot fail
	return append(b, '\n')
}
