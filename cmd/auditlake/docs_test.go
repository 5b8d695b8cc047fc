package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The README lists every command.
func TestReadmeListsEveryCommand(t *testing.T) {
	readme := readFile(t, "../../README.md")
	for _, cmd := range newRoot(&app{}).Commands() {
		if cmd.Name() != "help" {
			require.Regexp(t, "(?m)^\\|.*`"+cmd.Name()+"[` ].*\\|.*\\|$", readme)
		}
	}
	require.NotRegexp(t, "(?m)^[A-Z_]+$", readme, "a placeholder")
}

// ARCHITECTURE.md gives a reason for every direct dependency, and for no other.
func TestArchitectureListsEveryDependency(t *testing.T) {
	_, table, found := strings.Cut(readFile(t, "../../ARCHITECTURE.md"), "\n## Dependencies\n")
	require.True(t, found)
	listed := map[string]bool{}
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 {
			continue
		}
		last := ""
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[1], -1) {
			name := m[1]
			if rest, ok := strings.CutPrefix(name, "..."); ok {
				name = last + rest
			} else {
				last = name
			}
			listed[name] = true
		}
	}
	direct, _, found := strings.Cut(readFile(t, "../../go.mod"), "// indirect")
	require.True(t, found)
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllStringSubmatch(direct, -1) {
		require.True(t, listed[m[1]], "%s has no reason in ARCHITECTURE.md", m[1])
		delete(listed, m[1])
	}
	require.Empty(t, listed, "no direct dependencies")
}
