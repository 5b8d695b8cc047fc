package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditlake/auditlake/cmd/auditlake/internal/feed"
	"github.com/auditlake/auditlake/cmd/auditlake/internal/gen"
)

// Of the quickstart's own broker and sample.
const (
	quickstartTopic      = "agent-events"
	quickstartPartitions = 3
	quickstartPort       = 29092 // preferred; any that is free if this is taken
	quickstartEvents     = 12_000
)

// quickstartConfig is what quickstart leaves behind for the other commands.
const quickstartConfig = `# Made by auditlake quickstart. docs/config.md says what else can be set.
# Paths start from this folder.
kafka:
  brokers: ["%s"]            # the broker of the quickstart; it runs while quickstart or dev-broker does
  topics: [%s]
  session_timeout: 10s
catalog:   {type: sqlite, uri: ./lake/catalog.db}
warehouse: ./lake/warehouse
`

// sample is the state of the sample data of a quickstart folder. It is written
// before anything is sent: a second run sends what is missing of the same
// events, and nothing else.
type sample struct {
	path string

	Seed   uint64    `json:"seed"`
	Events int       `json:"events"`
	Start  time.Time `json:"start"`
	InFull bool      `json:"in_full"` // every event is in the topic
}

func samplePath(dir string) string { return filepath.Join(dir, "sample.json") }

// openSample reads a folder's sample, or begins one that ends about now.
func openSample(dir string, now time.Time) (*sample, error) {
	s := &sample{path: samplePath(dir)}
	text, err := os.ReadFile(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.Seed, s.Events = 1, quickstartEvents
		s.Start = now.Add(-gen.Defaults().Span - time.Hour).UTC().Truncate(time.Hour)
		return s, s.save()
	case err != nil:
		return nil, err
	}
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("%s is not what quickstart wrote: name another folder by --dir: %w", s.path, err)
	}
	return s, nil
}

func (s *sample) save() error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return replaceFile(s.path, append(text, '\n'))
}

// replaceFile writes a file at once or not at all, also across a kill.
func replaceFile(path string, text []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // the first error says more
		}
	}()
	if _, err := f.Write(text); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// options are the same for every run over a folder, and so are the events.
func (s *sample) options() gen.Options {
	o := gen.Defaults()
	o.Seed, o.Events, o.Start = s.Seed, s.Events, s.Start
	return o
}

// produce sends the events that the topic does not hold yet, and says how many.
// An earlier run may have been killed anywhere: what is there is told by reading
// the topic, since its partitions need not have come equally far.
func (s *sample) produce(ctx context.Context, opts feed.ProduceOptions) (int64, error) {
	if s.InFull {
		return 0, nil
	}
	held, err := heldValues(ctx, opts)
	if err != nil {
		return 0, err
	}
	pr, pw := io.Pipe()
	go func() {
		out := &missingLines{out: bufio.NewWriterSize(pw, 1<<16), held: held}
		_, err := gen.Generate(s.options(), out)
		_ = pw.CloseWithError(errors.Join(err, out.out.Flush())) // always nil
	}()
	sent, err := feed.Produce(ctx, opts, "sample", pr)
	_ = pr.Close() // always nil; ends the generator if sending broke off
	if err != nil {
		return sent.Lines, err
	}
	s.InFull = true
	return sent.Lines, s.save()
}

// missingLines passes on the lines that are not held already.
type missingLines struct {
	out  *bufio.Writer
	held map[[sha256.Size]byte]struct{}
	part []byte // of a line without its end
}

func (m *missingLines) Write(p []byte) (int, error) {
	n := len(p)
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			m.part = append(m.part, p...)
			return n, nil
		}
		m.part = append(m.part, p[:i]...)
		if _, ok := m.held[sha256.Sum256(m.part)]; !ok {
			if _, err := m.out.Write(append(m.part, '\n')); err != nil {
				return n, err
			}
		}
		m.part, p = m.part[:0], p[i+1:]
	}
}

// heldValues reads a topic from its beginning to its end.
func heldValues(ctx context.Context, opts feed.ProduceOptions) (map[[sha256.Size]byte]struct{}, error) {
	held := map[[sha256.Size]byte]struct{}{}
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(opts.Brokers...), kgo.ConsumeTopics(opts.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	}, opts.Client...)...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, opts.Topic)
	if err != nil {
		return nil, err
	}
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := errors.Join(ctx.Err(), fetches.Err()); err != nil {
			return nil, err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			held[sha256.Sum256(r.Value)] = struct{}{}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	return held, nil
}
