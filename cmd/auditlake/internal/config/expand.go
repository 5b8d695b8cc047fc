package config

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

var reference = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\}`)

// expand replaces ${NAME} and ${NAME:-default} by the environment's value, and
// $${ by a plain ${. A variable that is set to nothing takes the default too, as
// in a shell.
func (d *decoder) expand(node ast.Node, key, text string) (string, error) {
	var out strings.Builder
	for {
		i := strings.Index(text, "${")
		if i < 0 {
			out.WriteString(text)
			return out.String(), nil
		}
		if i > 0 && text[i-1] == '$' {
			out.WriteString(text[:i-1] + "${")
			text = text[i+2:]
			continue
		}
		out.WriteString(text[:i])
		m := reference.FindStringSubmatch(text[i:])
		if m == nil {
			return "", d.errorAt(node, key, "a ${ that is no ${NAME} and no ${NAME:-default}", "write $${ for a plain ${")
		}
		value, set := d.getenv(m[1])
		switch {
		case m[2] != "" && value == "":
			value = m[3]
		case !set:
			return "", d.errorAt(node, key, fmt.Sprintf("environment variable %s is not set", m[1]),
				fmt.Sprintf("set it, or write ${%s:-default}", m[1]))
		}
		out.WriteString(value)
		text = text[i+len(m[0]):]
	}
}
