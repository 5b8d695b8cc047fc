package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/queries"
)

// The questions of the README, on the events that it generates, print what it
// shows.
func TestReadmeQuestions(t *testing.T) {
	_, text, found := strings.Cut(readFile(t, "../../README.md"), "\n## Questions, and answers\n")
	require.True(t, found)
	text, _, _ = strings.Cut(text, "\n## ")
	l := newLab(t)
	setUp := strings.SplitN(text, "```", 3)[1]
	for line := range strings.Lines(strings.TrimPrefix(setUp, "sh\n")) {
		l.must(words(t, line)...)
	}
	blocks := strings.Split(text, "```console\n")[1:]
	surfaces := map[string]bool{}
	for _, block := range blocks {
		block, _, _ = strings.Cut(block, "```")
		command, shown, _ := strings.Cut(block, "\n")
		args := words(t, strings.TrimPrefix(command, "$ "))
		require.Equal(t, shown, l.must(args...), command)
		for _, q := range queries.List() {
			if q.Name == args[1] {
				surfaces[q.Surface] = true
			}
		}
	}
	for _, q := range queries.List() {
		require.True(t, surfaces[q.Surface], "the README asks no question of surface %s", q.Surface)
	}
}

// words are the arguments of a line that calls auditlake and quotes nothing.
func words(t *testing.T, line string) []string {
	args := strings.Fields(line)
	require.Equal(t, "auditlake", args[0], line)
	return args[1:]
}
