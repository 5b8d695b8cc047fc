package queries

import (
	"fmt"
	"strings"

	duckdb "github.com/duckdb/duckdb-go/v2"
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

// typeText is DuckDB's name for a type; empty where its Go client cannot tell.
func typeText(info duckdb.TypeInfo) string {
	if info == nil {
		return ""
	}
	switch d := info.Details().(type) {
	case nil:
		return simpleTypes[info.InternalType()]
	case *duckdb.DecimalDetails:
		return fmt.Sprintf("DECIMAL(%d,%d)", d.Width, d.Scale)
	case *duckdb.ListDetails:
		return typeOf("%s[]", d.Child)
	case *duckdb.ArrayDetails:
		return typeOf(fmt.Sprintf("%%s[%d]", d.Size), d.Child)
	case *duckdb.MapDetails:
		return typeOf("MAP(%s, %s)", d.Key, d.Value)
	case *duckdb.StructDetails:
		form, fields := make([]string, len(d.Entries)), make([]duckdb.TypeInfo, len(d.Entries))
		for i, entry := range d.Entries {
			form[i], fields[i] = strings.ReplaceAll(ident(entry.Name()), "%", "%%")+" %s", entry.Info()
		}
		return typeOf("STRUCT("+strings.Join(form, ", ")+")", fields...)
	}
	return ""
}

// typeOf is a type made of others, empty where one of them is.
func typeOf(form string, parts ...duckdb.TypeInfo) string {
	names := make([]any, len(parts))
	for i, part := range parts {
		name := typeText(part)
		if name == "" {
			return ""
		}
		names[i] = name
	}
	return fmt.Sprintf(form, names...)
}

var simpleTypes = map[duckdb.Type]string{
	duckdb.TYPE_BOOLEAN: "BOOLEAN", duckdb.TYPE_TINYINT: "TINYINT", duckdb.TYPE_SMALLINT: "SMALLINT", duckdb.TYPE_INTEGER: "INTEGER", duckdb.TYPE_BIGINT: "BIGINT",
	duckdb.TYPE_HUGEINT: "HUGEINT", duckdb.TYPE_UTINYINT: "UTINYINT", duckdb.TYPE_USMALLINT: "USMALLINT", duckdb.TYPE_UINTEGER: "UINTEGER", duckdb.TYPE_UBIGINT: "UBIGINT",
	duckdb.TYPE_UHUGEINT: "UHUGEINT", duckdb.TYPE_FLOAT: "FLOAT", duckdb.TYPE_DOUBLE: "DOUBLE", duckdb.TYPE_VARCHAR: "VARCHAR", duckdb.TYPE_BLOB: "BLOB", duckdb.TYPE_UUID: "UUID",
	duckdb.TYPE_BIT: "BIT", duckdb.TYPE_INTERVAL: "INTERVAL", duckdb.TYPE_DATE: "DATE", duckdb.TYPE_TIME: "TIME", duckdb.TYPE_TIME_TZ: "TIME WITH TIME ZONE",
	duckdb.TYPE_TIMESTAMP: "TIMESTAMP", duckdb.TYPE_TIMESTAMP_S: "TIMESTAMP_S", duckdb.TYPE_TIMESTAMP_MS: "TIMESTAMP_MS", duckdb.TYPE_TIMESTAMP_NS: "TIMESTAMP_NS",
	duckdb.TYPE_TIMESTAMP_TZ: "TIMESTAMP WITH TIME ZONE",
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
