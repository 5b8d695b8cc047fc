package queries

import (
	"slices"
	"strings"
)

// macro is a function that SQL can call.
type macro struct{ name, params, sql, doc string }

// macros are made before the views, in this order: a macro stands after those it uses.
var macros = slices.Concat(texts, stats)

// macrosFor are those that a statement may use: making the statistics takes a
// good part of what a short question does, and few name one.
func macrosFor(text string) []macro {
	text = strings.ToLower(text)
	named := func(m macro) bool { return strings.Contains(text, m.name) }
	if slices.ContainsFunc(stats, named) || strings.Contains(text, "duckdb_functions") || strings.Contains(text, "pg_proc") {
		return macros
	}
	return texts
}

// texts read payloads. message_text takes what a producer may
// send: OTel's list of {role, parts}, a list of parts, or plain text.
var texts = []macro{
	{"attribute", "payload, name", `payload ->> ('$.data."' || name || '"')`, "an attribute of an event's data that has no column, as text: attribute(payload, 'gen_ai.request.max_tokens')"},
	{"part_text", "part", `CASE part ->> '$.type'
		WHEN 'tool_call' THEN '[call ' || coalesce(part ->> '$.name', '?') || ' ' || coalesce(part ->> '$.arguments', '') || ']'
		WHEN 'tool_call_response' THEN '[result ' || coalesce(part ->> '$.response', part ->> '$.result', '') || ']'
		ELSE coalesce(part ->> '$.content', part ->> '$.text', '[' || (part ->> '$.type') || ']', CAST(part AS VARCHAR)) END`, "one part of a message as plain text"},
	{"message_line", "message", `CASE WHEN json_type(message, '$.parts') = 'ARRAY'
		THEN coalesce((message ->> '$.role') || ': ', '') || array_to_string(list_transform(CAST(json_extract(message, '$.parts[*]') AS JSON[]), lambda p: part_text(p)), ' ')
		WHEN json_type(message) = 'VARCHAR' THEN message ->> '$'
		ELSE coalesce((message ->> '$.role') || ': ', '') || part_text(message) END`, "one message as plain text"},
	{"message_text", "messages", `CASE WHEN NOT json_valid(messages) THEN messages
		WHEN json_type(messages) = 'ARRAY' THEN array_to_string(list_transform(CAST(json_extract(messages, '$[*]') AS JSON[]), lambda m: message_line(m)), chr(10))
		ELSE message_line(CAST(messages AS JSON)) END`, "messages as plain text, a line a message: message_text(input_messages)"},
}
