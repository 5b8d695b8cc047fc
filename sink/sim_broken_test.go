package sink

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// brokenSteps are the protocol with one step broken each, as changes of the code.
// broken("name") is true where that step is to be.
var brokenSteps = []struct{ name, file, code, instead string }{
	{"the offset is not checked", "catalog/commit.go",
		`ok && !r.follows(o) {`, `ok && !r.follows(o) && !broken {`},
	{"the mark is not checked", "catalog/offsets.go",
		`return at.Next == r.Start && at.Mark == r.Seen`, `return at.Next == r.Start && (broken || at.Mark == r.Seen)`},
	{"another table by that name is not noticed", "catalog/commit.go",
		`if err := b.belongs(name, head, have); err != nil {`, `if err := b.belongs(name, head, have); err != nil && !broken {`},
	{"landed is told by the end offset", "catalog/commit.go",
		`if id, ok := head.CommitSnapshot(b.ID); ok {`,
		`id, ok := head.CommitSnapshot(b.ID)
		if broken && len(b.Ranges) > 0 {
			ok = true
			for _, r := range b.Ranges {
				ok = ok && have[r.TopicPartition].Next == r.End
			}
		}
		if ok {`},
	{"no answer counts as not landed", "catalog/commit.go",
		`			unknown = true
`, `			unknown = !broken
`},
	{"fenced files are always deleted", "catalog/commit.go",
		`fenced.Deletable = !unknown`, `fenced.Deletable = !unknown || broken`},
	{"files are deleted after an unknown outcome", "sink/flush.go",
		`		return false // whatever it wraps
`, `		return broken
`},
	{"files of an earlier flush are deleted after a later one", "sink/flush.go",
		`if neverLands(err) && !before {`, `if neverLands(err) && (!before || broken) {`},
	{"files that were sent are deleted", "sink/flush.go",
		`	if !b.sent[catalog.AgentEvents] {`, `	if !b.sent[catalog.AgentEvents] || broken {`},
	{"agent_events goes first", "sink/flush.go",
		`	if err := s.landDead(ctx, b, deadFiles); err != nil {`,
		`	if broken {
			if _, err := s.land(ctx, catalog.AgentEvents, b, files, s.eventRanges(b)); err != nil {
				return nil, err
			}
		}
		if err := s.landDead(ctx, b, deadFiles); err != nil {`},
	{"no claim", "sink/flush.go",
		`len(claims) > 0 && b.dead.rows > 0 {`, `len(claims) > 0 && b.dead.rows > 0 && !broken {`},
	{"a first batch without dead letters leaves dead_letters alone", "sink/flush.go",
		`if p.tally.deadRows == 0 && (p.claimed || p.next == p.start) {`, `if p.tally.deadRows == 0 && (p.claimed || p.next == p.start || broken) {`},
	{"a fenced sink does not go back", "sink/flush.go",
		`	s.dropLocked()
	s.rewind = true
	return nil
`, `	s.dropLocked()
	s.rewind = !broken
	return nil
`},
	{"a fenced sink goes on with what it had polled", "sink/take.go",
		`			if s.rewind {
				return nil // the rest`, `			if s.rewind && !broken {
				return nil // the rest`},
	{"what is a dead letter already is taken again", "sink/take.go",
		`if _, ok := p.already[rec.Offset]; ok {`, `if _, ok := p.already[rec.Offset]; ok && !broken {`},
	{"a record that was taken is taken again", "sink/take.go",
		`if rec.Offset < p.next {`, `if rec.Offset < p.next && !broken {`},
	{"holes are not told", "sink/take.go",
		`	if rec.Offset > p.next {`, `	if rec.Offset > p.next && !broken {`},
	{"a batch that lost a row lands", "sink/take.go",
		`		if err := s.take(ctx, p, rec, ingest); err != nil {
			s.batch.failed = err
`, `		if err := s.take(ctx, p, rec, ingest); err != nil {
			if !broken {
				s.batch.failed = err
			}
`},
	{"a batch of which a file failed lands", "sink/flush.go",
		`	files, err := b.router.close(ctx)
	if err != nil {
		b.failed = err
`, `	files, err := b.router.close(ctx)
	if err != nil {
		if !broken {
			b.failed = err
		}
`},
	{"pending rows survive a lost topic partition", "sink/member.go",
		`sink out; their next owner reads them again")
		s.dropLocked()
		s.rewind = true
`, `sink out; their next owner reads them again")
		if !broken {
			s.dropLocked()
			s.rewind = true
		}
`},
	{"pending rows survive a revoked topic partition", "sink/member.go",
		`"err", err)
			s.dropLocked()
			s.rewind = true
`, `"err", err)
			if !broken {
				s.dropLocked()
				s.rewind = true
			}
`},
	{"the group's offset is where to start", "sink/member.go",
		`kgo.NewOffset().At(p.start)`, `func() kgo.Offset {
			if broken {
				return offsets[tp.topic][tp.partition]
			}
			return kgo.NewOffset().At(p.start)
		}()`},
	{"the client is not told to go back", "sink/assign.go",
		`	s.client.SetOffsets(set)
`, `	if !broken {
		s.client.SetOffsets(set)
	}
`},
	{"a dropped batch leaves its builders", "sink/flush.go",
		`	s.batch.abort()
	s.removeUnsent(s.batch)`, `	if !broken {
		s.batch.abort()
	}
	s.removeUnsent(s.batch)`},
	{"a hung catalog hangs the sink", "sink/assign.go",
		`	ctx, cancel := context.WithTimeout(ctx, s.cfg.CommitTimeout)
	defer cancel()
	if err := s.learnTopics`, `	if !broken {
		bounded, cancel := context.WithTimeout(ctx, s.cfg.CommitTimeout)
		defer cancel()
		ctx = bounded
	}
	if err := s.learnTopics`},
	{"a turn is not given on", "catalog/turns.go",
		`	if q.holder == t {
		q.holder = nil
`, `	if q.holder == t && !broken {
		q.holder = nil
`},
	{"two of a process have the turn at once", "catalog/turns.go",
		`if q.holder == nil && len(q.waiting) > 0 {`, `if (q.holder == nil || broken) && len(q.waiting) > 0 {`},
}

// rare are those that few histories show.
var rare = map[string]bool{
	"the mark is not checked": true, "no claim": true, "a fenced sink does not go back": true,
	"a first batch without dead letters leaves dead_letters alone": true,
	"fenced files are always deleted":                              true, "a fenced sink goes on with what it had polled": true,
}

const brokenEnv = "AUDITLAKE_TEST_BROKEN_STEP"

// Each step of the protocol is needed, and the simulation knows: with the step broken
// it finds a history in which a promise is.
func TestSimulationFindsBrokenSteps(t *testing.T) {
	binary := buildBroken(t)
	run := func(step string, histories int) (string, error) {
		cmd := exec.Command(binary, "-test.run", "TestSimulation$", "-test.v", "-sim.seed", "1", "-sim.histories", fmt.Sprint(histories))
		cmd.Env = append(os.Environ(), brokenEnv+"="+step)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := run("", 300)
	require.NoError(t, err, "nothing is broken: %s", out)
	found := regexp.MustCompile(`seed (\d+): (.*)\n *replay:`)
	for _, s := range brokenSteps {
		t.Run(s.name, func(t *testing.T) {
			if rare[s.name] && *simBroken < 20000 {
				t.Skip("it takes a thousand histories or ten: -sim.broken 30000")
			}
			out, err := run(s.name, *simBroken)
			m := found.FindStringSubmatch(out)
			require.Error(t, err, "not found in %d histories", *simBroken)
			require.NotNil(t, m, "%s", out)
			t.Logf("history %s: %s", m[1], m[2])
		})
	}
}

// buildBroken builds this package's tests with every step breakable.
func buildBroken(t *testing.T) string {
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	dir := t.TempDir()
	replace := map[string]string{}
	put := func(name, text string) {
		path := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		replace[filepath.Join(root, name)] = path
	}
	texts := map[string]string{}
	for _, s := range brokenSteps {
		if texts[s.file] == "" {
			text, err := os.ReadFile(filepath.Join(root, s.file))
			require.NoError(t, err)
			texts[s.file] = string(text)
		}
		require.Equal(t, 1, strings.Count(texts[s.file], s.code), "%s: %s is not in %s as it was", s.name, s.code, s.file)
		instead := strings.ReplaceAll(s.instead, "broken", fmt.Sprintf("isBroken(%q)", s.name))
		texts[s.file] = strings.Replace(texts[s.file], s.code, instead, 1)
	}
	for name, text := range texts {
		put(name, text)
	}
	for _, room := range []string{"sink", "catalog"} {
		put(room+"/broken_step.go", fmt.Sprintf("package %s\n\nimport \"os\"\n\nvar brokenStep = os.Getenv(%q)\n\n"+
			"func isBroken(step string) bool { return step == brokenStep }\n", room, brokenEnv))
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	path := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(path, overlay, 0o644))
	binary := filepath.Join(dir, "sink.test")
	out, err := exec.Command("go", "test", "-c", "-overlay", path, "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return binary
}
