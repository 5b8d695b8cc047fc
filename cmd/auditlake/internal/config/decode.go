package config

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/auditlake/auditlake/internal/nearest"
)

// Error is a mistake in the configuration: what, where, what to do.
type Error struct {
	File      string
	Line, Col int // from 1; 0 where the mistake has no place in the file
	Text      string
	Hint      string
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Col)
	}
	b.WriteString(": " + e.Text)
	if e.Hint != "" {
		b.WriteString(": " + e.Hint)
	}
	return b.String()
}

type position struct{ line, col int }

// decoder fills a struct from a YAML tree. It walks the tree itself, and not by
// the library's Unmarshal, because it must know the place of every value: for
// its own errors, for those of validate, and to expand ${NAME} in values only.
type decoder struct {
	file   string
	getenv func(string) (string, bool)
	where  map[string]position
}

// texter is a leaf type that reads itself from its text.
type texter interface{ setText(string) error }

func (d *decoder) decode(text []byte, into *Config) error {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return d.syntaxError(err)
	}
	docs := 0
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if docs++; docs > 1 {
			return d.errorAt(doc.Body, "", "a second YAML document", "keep one document in the file")
		}
		if err := d.value(doc.Body, reflect.ValueOf(into).Elem(), ""); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) value(node ast.Node, v reflect.Value, key string) error {
	switch node.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		return d.errorAt(node, key, "YAML anchors, aliases and tags are not read here", "write the value out")
	case *ast.CommentGroupNode: // a file of nothing but comments
		return nil
	}
	d.where[key] = at(node)
	if _, leaf := v.Addr().Interface().(texter); leaf {
		return d.scalar(node, v, key)
	}
	switch v.Kind() {
	case reflect.Struct:
		return d.section(node, v, key)
	case reflect.Map:
		return d.mapping(node, v, key)
	case reflect.Slice:
		return d.list(node, v, key)
	default:
		return d.scalar(node, v, key)
	}
}

func (d *decoder) section(node ast.Node, v reflect.Value, key string) error {
	fields := map[string]int{}
	var names []string
	for i := range v.NumField() {
		if name := v.Type().Field(i).Tag.Get("yaml"); name != "" && name != "-" {
			fields[name] = i
			names = append(names, name)
		}
	}
	return d.eachKey(node, key, func(name string, at *ast.MappingValueNode) error {
		i, ok := fields[name]
		if !ok {
			hint := "the keys are " + strings.Join(names, ", ")
			if near := nearest.Word(name, names); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			}
			text := fmt.Sprintf("unknown key %q", name)
			if key != "" {
				text += " in " + key
			}
			return d.errorAt(at.Key, "", text, hint)
		}
		return d.value(at.Value, v.Field(i), join(key, name))
	})
}

func (d *decoder) mapping(node ast.Node, v reflect.Value, key string) error {
	v.Set(reflect.MakeMap(v.Type()))
	return d.eachKey(node, key, func(name string, at *ast.MappingValueNode) error {
		elem := reflect.New(v.Type().Elem()).Elem()
		if err := d.value(at.Value, elem, join(key, name)); err != nil {
			return err
		}
		v.SetMapIndex(reflect.ValueOf(name), elem)
		return nil
	})
}

func (d *decoder) eachKey(node ast.Node, key string, do func(string, *ast.MappingValueNode) error) error {
	var values []*ast.MappingValueNode
	switch n := node.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	case *ast.NullNode: // a section whose keys are all commented out
		return nil
	default:
		return d.errorAt(node, key, "want keys and values below it, found "+describe(node), "")
	}
	for _, mv := range values {
		if err := do(keyText(mv.Key), mv); err != nil {
			return err
		}
	}
	return nil
}

// list takes a YAML list, or a text with ${NAME} in it, split at commas: a list
// that comes from the environment has no other form.
func (d *decoder) list(node ast.Node, v reflect.Value, key string) error {
	if seq, ok := node.(*ast.SequenceNode); ok {
		out := reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values))
		for i, item := range seq.Values {
			if err := d.value(item, out.Index(i), fmt.Sprintf("%s[%d]", key, i)); err != nil {
				return err
			}
		}
		v.Set(out)
		return nil
	}
	text, ok := scalarText(node)
	if !ok || !strings.Contains(text, "${") {
		hint := ""
		if ok {
			hint = fmt.Sprintf("write [%s]", text)
		}
		return d.errorAt(node, key, "want a list, found "+describe(node), hint)
	}
	text, err := d.expand(node, key, text)
	if err != nil {
		return err
	}
	var items []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	v.Set(reflect.ValueOf(items))
	return nil
}

func (d *decoder) scalar(node ast.Node, v reflect.Value, key string) error {
	written, ok := scalarText(node)
	if _, null := node.(*ast.NullNode); null {
		return d.errorAt(node, key, "has no value", "give it one or remove the key")
	}
	if !ok {
		return d.errorAt(node, key, "want one value, found "+describe(node), "")
	}
	text, err := d.expand(node, key, written)
	if err != nil {
		return err
	}
	if err := setScalar(v, text); err != nil {
		// The text as written: what an environment variable holds may be secret.
		return d.errorAt(node, key, fmt.Sprintf("%v, found %q", err, written), "")
	}
	return nil
}

func setScalar(v reflect.Value, text string) error {
	if t, ok := v.Addr().Interface().(texter); ok {
		return t.setText(text)
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return errors.New("want true or false")
		}
		v.SetBool(text == "true")
	case reflect.Int64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return errors.New("want a whole number")
		}
		v.SetInt(n)
	default:
		panic("config: no way to read a " + v.Type().String())
	}
	return nil
}

func (d *decoder) syntaxError(err error) error {
	var ye yaml.Error
	if !errors.As(err, &ye) {
		return &Error{File: d.file, Text: "not YAML: " + err.Error()}
	}
	out := &Error{File: d.file, Text: "not YAML: " + ye.GetMessage(), Hint: "mend the file there"}
	if tk := ye.GetToken(); tk != nil {
		out.Line, out.Col = tk.Position.Line, tk.Position.Column
	}
	return out
}

func (d *decoder) errorAt(node ast.Node, key, text, hint string) error {
	if key != "" {
		text = key + ": " + text
	}
	p := at(node)
	return &Error{File: d.file, Line: p.line, Col: p.col, Text: text, Hint: hint}
}

func at(node ast.Node) position {
	if mv, ok := node.(*ast.MappingNode); ok && !mv.IsFlowStyle && len(mv.Values) > 0 {
		node = mv.Values[0]
	}
	if mv, ok := node.(*ast.MappingValueNode); ok {
		node = mv.Key // its own token is the colon
	}
	var tk *token.Token
	if tk = node.GetToken(); tk == nil || tk.Position == nil {
		return position{}
	}
	return position{tk.Position.Line, tk.Position.Column}
}

func scalarText(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return node.GetToken().Value, true
	}
	return "", false
}

func keyText(key ast.MapKeyNode) string {
	if s, ok := key.(*ast.StringNode); ok {
		return s.Value
	}
	return key.GetToken().Value
}

func describe(node ast.Node) string {
	switch node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "keys and values"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	}
	return "one value"
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}
