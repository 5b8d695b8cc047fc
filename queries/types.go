package queries

import (
	"fmt"
	"strings"
)

// duckType gives DuckDB's name for an Iceberg type written as the Iceberg spec
// writes it: "string", "decimal(18, 9)", "list<struct<key: string>>".
func duckType(iceberg string) (string, error) {
	t := strings.TrimSpace(iceberg)
	if name, ok := primitives[t]; ok {
		return name, nil
	}
	switch {
	case strings.HasPrefix(t, "decimal(") && strings.HasSuffix(t, ")"):
		return "DECIMAL(" + strings.ReplaceAll(t[len("decimal("):len(t)-1], " ", "") + ")", nil
	case strings.HasPrefix(t, "fixed[") && strings.HasSuffix(t, "]"):
		return "BLOB", nil
	}
	kind, inner, ok := strings.Cut(t, "<")
	if !ok || !strings.HasSuffix(inner, ">") {
		return "", fmt.Errorf("type %q is not one that SQL can read here", iceberg)
	}
	return nestedType(kind, splitTop(inner[:len(inner)-1]))
}

var primitives = map[string]string{
	"boolean": "BOOLEAN", "int": "INTEGER", "long": "BIGINT", "float": "FLOAT", "double": "DOUBLE",
	"date": "DATE", "time": "TIME", "timestamp": "TIMESTAMP", "timestamptz": "TIMESTAMP WITH TIME ZONE",
	"string": "VARCHAR", "uuid": "UUID", "binary": "BLOB",
}

func nestedType(kind string, parts []string) (string, error) {
	types := make([]string, len(parts))
	for i, part := range parts {
		name := ""
		if kind == "struct" {
			var ok bool
			if name, part, ok = strings.Cut(part, ":"); !ok {
				return "", fmt.Errorf("field %q of a struct has no type", name)
			}
			name = ident(strings.TrimSpace(name)) + " "
		}
		t, err := duckType(part)
		if err != nil {
			return "", err
		}
		types[i] = name + t
	}
	switch {
	case kind == "list" && len(types) == 1:
		return types[0] + "[]", nil
	case kind == "map" && len(types) == 2:
		return "MAP(" + types[0] + ", " + types[1] + ")", nil
	case kind == "struct":
		return "STRUCT(" + strings.Join(types, ", ") + ")", nil
	}
	return "", fmt.Errorf("type %s<...> is not one that SQL can read here", kind)
}

// splitTop cuts at the commas that stand in no bracket.
func splitTop(text string) []string {
	var out []string
	depth, start := 0, 0
	for i, c := range text {
		switch c {
		case '<', '(':
			depth++
		case '>', ')':
			depth--
		case ',':
			if depth == 0 {
				out = append(out, strings.TrimSpace(text[start:i]))
				start = i + 1
			}
		}
	}
	return append(out, strings.TrimSpace(text[start:]))
}

// ident quotes a name for SQL.
func ident(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// literal quotes a text for SQL.
func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
